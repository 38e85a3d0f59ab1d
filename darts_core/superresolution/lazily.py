"""Located bands as the dataset that the verbs take: computed where it is read, for the window that is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from darts_core.contracts import DIMENSIONS, VARIABLES, Variable, describe
from darts_core.grids import Grid
from darts_core.inference.source import VALID
from darts_core.preprocessing.reflectance import Packing
from darts_core.scenes.locating import Located, packing
from darts_core.scenes.plan import Layer
from darts_core.scenes.windowed import MASK, Decoded, RasterWindows, gather, lazy, piece

_KEPT_BYTES = 128 * 2**20
"""The most decoded numbers that are kept for the windows to come."""
_KEPT_MASK_BYTES = 32 * 2**20
"""The same of the mask, a bit a pixel: that of 16,000 x 16,000 pixels fits."""


def lazy_dataset(located: Located, source: str, attrs: Mapping[str, str]) -> xr.Dataset:
    """The bands as float32 reflectance, NaN = nodata, and `valid_data_mask`, axes (y, x); a slice reads what it holds.

    Args:
        source: what the values come from.
        attrs: of the dataset.

    Raises:
        SceneError: a band of which nothing says how its numbers become reflectance.
    """
    layers, rasters, grid = located.plan.layers, located.rasters, located.grid
    decoded = Decoded(_capacity(located))
    windows = {
        file: RasterWindows(raster, tuple(layer.band for layer in layers if layer.file == file), decoded)
        for file, raster in rasters.items()
    }
    bands = {layer.name: _Band.of(layer, windows[layer.file]) for layer in layers}
    chunks = piece(rasters[layers[0].file])
    arrays = {name: lazy(band.reflectance, grid.shape, chunks, "float32") for name, band in bands.items()}
    valid = _Valid(tuple(bands.values()), grid.shape, chunks, Decoded(_KEPT_MASK_BYTES))
    arrays[VALID] = lazy(valid.read, grid.shape, chunks, "bool")
    variables = {
        name: describe(xr.DataArray(array, dims=DIMENSIONS), VARIABLES[name], source) for name, array in arrays.items()
    }
    return xr.Dataset(variables, _coordinates(grid), attrs)


def _capacity(located: Located) -> int:
    """Bytes of two rows of pieces, which is what windows in the order of rows come back to."""
    rows = [
        piece(raster)[0] * raster.grid.width * np.dtype(raster.dtype).itemsize
        for raster in (located.rasters[layer.file] for layer in located.plan.layers)
    ]
    return min(2 * sum(rows), _KEPT_BYTES)


def _coordinates(grid: Grid) -> dict[str, xr.DataArray]:
    coordinates = grid.coordinates()
    if grid.transform.b or grid.transform.d:
        del coordinates["y"], coordinates["x"]
    return coordinates


@dataclass(frozen=True, slots=True)
class _Band:
    """One band, by windows."""

    windows: RasterWindows
    number: int
    packing: Packing
    row: Variable
    mask: int | None
    """The band that is 0 where there is no data, if any is."""

    @classmethod
    def of(cls, layer: Layer, windows: RasterWindows) -> _Band:
        raster = windows.raster
        # an alpha band that was named is a band like the others
        alpha = None if raster.alpha in windows.bands else raster.alpha
        mask = MASK if raster.masked else alpha
        return cls(windows, layer.band, Packing.of(packing(layer, raster)), VARIABLES[layer.name], mask)

    @property
    def complete(self) -> bool:
        """Whether every number counts, whatever it is."""
        whole_numbers = np.issubdtype(self.windows.raster.dtype, np.integer)
        return whole_numbers and self.packing.nodata is None and self.mask is None

    def reflectance(self, rows: slice, cols: slice) -> np.ndarray:
        values = self.packing.reflectance(self.windows.read(self.number, rows, cols), self.row)
        if self.mask is not None:
            values[self.windows.read(self.mask, rows, cols) == 0] = np.nan
        return values

    def held(self, rows: slice, cols: slice) -> np.ndarray:
        held = self.packing.held(self.windows.read(self.number, rows, cols))
        if self.mask is not None:
            held &= self.windows.read(self.mask, rows, cols) != 0
        return held


@dataclass(frozen=True, slots=True)
class _Valid:
    """Where every band holds data. Asked for before, during and after prediction, so the answer is kept, as bits."""

    bands: tuple[_Band, ...]
    shape: tuple[int, int]
    size: tuple[int, int]
    """(rows, columns) of what is decided at once."""
    bits: Decoded

    def read(self, rows: slice, cols: slice) -> np.ndarray:
        if all(band.complete for band in self.bands):
            return np.ones((rows.stop - rows.start, cols.stop - cols.start), bool)
        return gather(rows, cols, self.shape, self.size, "bool", self._block)

    def _block(self, rows: slice, cols: slice) -> np.ndarray:
        def decide() -> np.ndarray:
            held = [band.held(rows, cols) for band in self.bands]
            return np.packbits(np.logical_and.reduce(held), axis=1)

        bits = self.bits.get((rows.start, cols.start), decide)
        return np.unpackbits(bits, axis=1, count=cols.stop - cols.start).view(bool)
