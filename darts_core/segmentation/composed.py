"""Windows at super-resolved resolution: fine reflectance, and the other features brought up to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from darts_core.contracts import REFLECTANCE, ContractError, require_bands
from darts_core.grids import Grid
from darts_core.inference.source import DatasetSource
from darts_core.preprocessing.indices import compute, index_bands, is_index
from darts_core.windows import Window

_CORE = tuple(row.name for row in REFLECTANCE)


@dataclass(frozen=True, slots=True)
class ComposedSource:
    """A scene as a model trained on super-resolved pixels sees it.

    Reflectance comes from the super-resolved raster, indices are made of it on the window, every other feature (and
    an index of a band that is not super-resolved) is interpolated bilinearly from the preprocessed scene, and a fine
    pixel is valid where its coarse one is.

    Raises:
        ContractError: at construction; a band that neither has, or rasters that do not cover the same place.
    """

    preprocessed: xr.Dataset
    """Memory form of the preprocessed contract, lazy or not."""
    super_resolved: xr.Dataset
    """blue, green, red, nir and maybe further bands of the same scene, each pixel a whole fraction of a
    preprocessed one."""
    bands: tuple[str, ...]

    def __post_init__(self) -> None:
        fine_bands, indices = self._fine_bands, self._fine_indices
        require_bands(self.preprocessed, tuple(name for name in self.bands if name not in (*fine_bands, *indices)))
        require_bands(self.super_resolved, fine_bands)
        coarse, fine = Grid.of(self.preprocessed), Grid.of(self.super_resolved)
        expected = tuple(coarse.transform)[2::3], tuple(size * self.factor for size in coarse.shape)
        near = np.allclose(expected[0], tuple(fine.transform)[2::3], rtol=0, atol=1e-3 * min(fine.resolution))
        if coarse.crs != fine.crs or fine.shape != expected[1] or not near:
            raise ContractError(
                f"The super-resolved raster is {fine}; expected a whole number of pixels for each one of the "
                f"preprocessed scene, {coarse}. Materialize the super-resolved raster again"
            )

    @property
    def factor(self) -> int:
        """Fine pixels along one coarse pixel."""
        return max(1, round(self.super_resolved.sizes["x"] / self.preprocessed.sizes["x"]))

    @property
    def shape(self) -> tuple[int, int]:
        return self.super_resolved.sizes["y"], self.super_resolved.sizes["x"]

    @property
    def _fine_bands(self) -> tuple[str, ...]:
        """Those of `bands` that the super-resolved raster has, or has to have."""
        return tuple(name for name in self.bands if name in _CORE or name in self.super_resolved)

    @property
    def _fine_indices(self) -> tuple[str, ...]:
        """Those of `bands` that are made of super-resolved reflectance."""
        return tuple(
            name for name in self.bands if is_index(name) and all(b in self.super_resolved for b in index_bands(name))
        )

    def read(self, window: Window) -> np.ndarray:
        of_indices = (band for index in self._fine_indices for band in index_bands(index))
        names = tuple(dict.fromkeys((*self._fine_bands, *of_indices)))
        fine = dict(zip(names, DatasetSource(self.super_resolved, names).read(window), strict=True)) if names else {}
        fine |= {index: compute(index, fine) for index in self._fine_indices}
        others = tuple(name for name in self.bands if name not in fine)
        if others:
            fine |= dict(zip(others, self._features(others, window), strict=True))
        return np.stack([fine[name] for name in self.bands])

    def _features(self, names: tuple[str, ...], window: Window) -> np.ndarray:
        """Preprocessed features at the window's pixels, float32 (features, height, width)."""
        height, width = self.preprocessed.sizes["y"], self.preprocessed.sizes["x"]
        rows = Taps.of(window.row, window.height, self.factor, height)
        cols = Taps.of(window.col, window.width, self.factor, width)
        part = Window(rows.first, cols.first, rows.count, cols.count)
        return bilinear(DatasetSource(self.preprocessed, names).read(part), rows, cols)

    def valid(self, window: Window) -> np.ndarray:
        rows = np.arange(window.row, window.rows.stop) // self.factor
        cols = np.arange(window.col, window.cols.stop) // self.factor
        part = Window(int(rows[0]), int(cols[0]), int(rows[-1] - rows[0]) + 1, int(cols[-1] - cols[0]) + 1)
        coarse = DatasetSource(self.preprocessed, ()).valid(part)
        return coarse[np.ix_(rows - rows[0], cols - cols[0])]


@dataclass(frozen=True, slots=True)
class Taps:
    """Along one axis: the two coarse pixels on either side of each fine one's centre, and their weights."""

    first: int
    """First coarse pixel to read."""
    count: int
    """Coarse pixels to read."""
    low: np.ndarray
    """int (fine pixels,), counted from `first`."""
    high: np.ndarray
    weight: np.ndarray
    """float32 (fine pixels,), weight of `high`."""

    @classmethod
    def of(cls, start: int, count: int, factor: int, length: int) -> Taps:
        """For `count` fine pixels from `start` over an axis of `length` coarse ones; beyond the edge is the edge."""
        centre = (np.arange(start, start + count) + 0.5) / factor - 0.5
        below = np.floor(centre).astype(int)
        low, high = np.clip(below, 0, length - 1), np.clip(below + 1, 0, length - 1)
        first = int(low[0])
        return cls(first, int(high[-1]) - first + 1, low - first, high - first, (centre - below).astype(np.float32))


def bilinear(values: np.ndarray, rows: Taps, cols: Taps) -> np.ndarray:
    """Interpolate (features, y, x); NaN has no weight, and a pixel whose nearest one is NaN is NaN."""
    known = ~np.isnan(values)
    weights = _across(known.astype(np.float32), rows, cols)
    total = _across(np.where(known, values, np.float32(0)), rows, cols)
    nearest_row = np.where(rows.weight < 0.5, rows.low, rows.high)
    nearest_col = np.where(cols.weight < 0.5, cols.low, cols.high)
    kept = known[:, nearest_row[:, None], nearest_col]
    return np.divide(total, weights, out=np.full_like(total, np.nan), where=kept)


def _across(values: np.ndarray, rows: Taps, cols: Taps) -> np.ndarray:
    down = rows.weight[:, None]
    tall = values[:, rows.low] * (1 - down) + values[:, rows.high] * down
    return tall[:, :, cols.low] * (1 - cols.weight) + tall[:, :, cols.high] * cols.weight
