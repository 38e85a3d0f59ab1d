"""What a model reads: a window of a scene at a time, as float32 (bands, height, width)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import xarray as xr

from darts_core.contracts import require_bands
from darts_core.inference.normalization import Normalization
from darts_core.windows import Plan, PlanError, Window

VALID = "valid_data_mask"


class WindowSource(Protocol):
    """A scene that gives windows of itself."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Names along the first axis of what `read` gives."""

    def read(self, window: Window) -> np.ndarray:
        """Float32 (bands, height, width); NaN = nodata, unless the source fills it."""

    def valid(self, window: Window) -> np.ndarray:
        """Bool (height, width); True = usable."""


@dataclass(frozen=True, slots=True)
class DatasetSource:
    """Windows of a dataset in memory form, lazy or not; only what a window needs is loaded.

    Raises:
        ContractError: at construction, where the dataset lacks a band.
    """

    dataset: xr.Dataset
    """Variables (y, x)."""
    bands: tuple[str, ...]

    def __post_init__(self) -> None:
        require_bands(self.dataset, self.bands)

    @property
    def shape(self) -> tuple[int, int]:
        return self.dataset.sizes["y"], self.dataset.sizes["x"]

    def read(self, window: Window) -> np.ndarray:
        part = self._part(list(self.bands), window)
        return np.stack([part[name].values.astype(np.float32, copy=False) for name in self.bands])

    def valid(self, window: Window) -> np.ndarray:
        """`valid_data_mask` where the dataset has one, else where no band is NaN."""
        if VALID in self.dataset:
            return self._part([VALID], window)[VALID].values.astype(bool)
        return ~np.isnan(self.read(window)).any(axis=0)

    def _part(self, names: list[str], window: Window) -> xr.Dataset:
        # threads of `Feed` call this beside each other; dask's own would add memory and no speed
        return self.dataset[names].isel(y=window.rows, x=window.cols).compute(scheduler="synchronous")


@dataclass(frozen=True, slots=True)
class NormalizedSource:
    """A source as a model sees it: 0..1 by the model's own normalisation, and 0 where nodata."""

    inner: WindowSource
    normalization: Normalization

    @property
    def shape(self) -> tuple[int, int]:
        return self.inner.shape

    @property
    def bands(self) -> tuple[str, ...]:
        return self.inner.bands

    def read(self, window: Window) -> np.ndarray:
        return self.normalization.apply(self.inner.read(window))

    def valid(self, window: Window) -> np.ndarray:
        return self.inner.valid(window)


@dataclass(frozen=True, slots=True)
class ReflectedSource:
    """A source continued beyond its edges by its own mirror image; the outermost pixels are not repeated.

    Raises:
        PlanError: at construction, where the scene has no more pixels than the margin along an axis.
    """

    inner: WindowSource
    margin: int
    """Pixels added on each side."""

    def __post_init__(self) -> None:
        if self.margin >= min(self.inner.shape):
            raise PlanError(
                f"A reflection of {self.margin} pixels needs a scene of more; this one has "
                f"{self.inner.shape[0]} x {self.inner.shape[1]}"
            )

    @property
    def shape(self) -> tuple[int, int]:
        height, width = self.inner.shape
        return height + 2 * self.margin, width + 2 * self.margin

    @property
    def bands(self) -> tuple[str, ...]:
        return self.inner.bands

    def read(self, window: Window) -> np.ndarray:
        part, rows, cols = self._behind(window)
        return self.inner.read(part)[:, rows[:, None], cols]

    def valid(self, window: Window) -> np.ndarray:
        part, rows, cols = self._behind(window)
        return self.inner.valid(part)[rows[:, None], cols]

    def _behind(self, window: Window) -> tuple[Window, np.ndarray, np.ndarray]:
        """The window of the scene that a window shows, and where each of its rows and columns lies in that."""
        height, width = self.inner.shape
        rows = _mirrored(np.arange(window.rows.start, window.rows.stop) - self.margin, height)
        cols = _mirrored(np.arange(window.cols.start, window.cols.stop) - self.margin, width)
        top, left = int(rows.min()), int(cols.min())
        part = Window(top, left, int(rows.max()) - top + 1, int(cols.max()) - left + 1)
        return part, rows - top, cols - left


def _mirrored(places: np.ndarray, length: int) -> np.ndarray:
    inside = np.abs(places)
    return np.where(inside < length, inside, 2 * (length - 1) - inside)


@dataclass(frozen=True, slots=True)
class FilledSource:
    """A source without NaN: grown from valid neighbours over `reach` pixels, 0 beyond.

    The fill of a pixel depends on nothing more than `reach` pixels away and is read with that margin, so it is
    the same in every window: nodata makes no seam. A valid pixel of a model with this reach sees nothing of the 0.
    """

    inner: WindowSource
    reach: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.inner.shape

    @property
    def bands(self) -> tuple[str, ...]:
        return self.inner.bands

    def read(self, window: Window) -> np.ndarray:
        wide = window.grown(self.reach, *self.shape)
        rows, cols = window.within(wide)
        return fill_nodata(self.inner.read(wide), self.reach)[:, rows, cols]

    def valid(self, window: Window) -> np.ndarray:
        return self.inner.valid(window)


def fill_nodata(values: np.ndarray, reach: int) -> np.ndarray:
    """Replace NaN in (bands, y, x): up to `reach` pixels in by the mean of the neighbours that hold data, else 0."""
    from scipy.ndimage import uniform_filter

    missing = np.isnan(values)
    if not missing.any():
        return values
    filled = np.where(missing, np.float32(0), values)
    for _ in range(reach):
        # sums are taken in float64, that a running sum leaves no trace of what is far away
        known = uniform_filter((~missing).astype(np.float64), (0, 3, 3), mode="constant")
        total = uniform_filter(filled.astype(np.float64), (0, 3, 3), mode="constant")
        reached = missing & (known > 1 / 18)
        filled[reached] = (total[reached] / known[reached]).astype(np.float32)
        missing &= ~reached
    return filled


def occupied(source: WindowSource, plan: Plan) -> list[int]:
    """Numbers of the windows with a valid pixel; the others are not worth computing."""
    found: list[int] = []
    for row in range(len(plan.row_offsets)):
        columns = source.valid(plan.strip(row)).any(axis=0)
        before = np.concatenate([[0], np.cumsum(columns)])
        starts = np.array(plan.col_offsets)
        hit = before[starts + plan.window[1]] > before[starts]
        found += (row * len(starts) + np.flatnonzero(hit)).tolist()
    return found
