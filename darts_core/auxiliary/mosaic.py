"""Tiles of one pixel lattice as one raster, and the window of it that a scene needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from darts_core.auxiliary.cache import Cache
from darts_core.auxiliary.rasters import Raster, horizontal
from darts_core.grids import Grid

if TYPE_CHECKING:
    from affine import Affine
    from rasterio.crs import CRS

_ALIGNED = 1e-3
"""Share of a pixel by which tiles of one lattice may be off."""
_POINTS_A_SIDE = 65
_REACH = 2
"""Source pixels beyond what positions say, for the bilinear kernel and for rounding."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A raster and its place in a mosaic."""

    raster: Raster
    row: int
    column: int
    """Of its first pixel, in the lattice of the mosaic's first tile."""
    identity: str | None = None
    """Names its content for the cache; None: it is not cached."""


@dataclass(frozen=True, slots=True)
class Mosaic:
    """Tiles on one lattice: of two that hold data at one place the earlier is taken."""

    tiles: tuple[Tile, ...]
    cache: Cache | None = None

    @property
    def crs(self) -> CRS:
        """Horizontal CRS of the lattice."""
        return self.tiles[0].raster.crs

    @property
    def transform(self) -> Affine:
        """From (column, row) of the lattice to the world."""
        return self.tiles[0].raster.transform

    @property
    def turn(self) -> int | None:
        """Columns once around the world, where the lattice is one of longitudes: places recur after so many."""
        return round(360 / abs(self.transform.a)) if self.crs.is_geographic else None

    def read(self, bands: Sequence[int], rows: slice, cols: slice) -> np.ndarray:
        """Bands (from 1) of a window of the lattice, axes (band, y, x), float32, NaN where no tile holds data."""
        values = np.full((len(bands), rows.stop - rows.start, cols.stop - cols.start), np.nan, np.float32)
        for tile in reversed(self.tiles):
            for shift in self._turns(tile, cols):
                self._paste(values, tile, bands, rows, cols, shift)
        return values

    def holds(self, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Whether points of the lattice lie in the frame of a tile: bool, of the points' shape."""
        inside = np.zeros(np.shape(columns), bool)
        for tile in self.tiles:
            right = (columns - tile.column) if self.turn is None else (columns - tile.column) % self.turn
            down = rows - tile.row
            inside |= (right >= 0) & (right <= tile.raster.width) & (down >= 0) & (down <= tile.raster.height)
        return inside

    def _turns(self, tile: Tile, cols: slice) -> list[int]:
        """By how many columns the tile is shifted wherever it may touch the window."""
        if self.turn is None:
            return [0]
        first = (cols.start - tile.column - tile.raster.width) // self.turn
        last = (cols.stop - tile.column) // self.turn
        return [turn * self.turn for turn in range(first, last + 1)]

    def _paste(
        self, values: np.ndarray, tile: Tile, bands: Sequence[int], rows: slice, cols: slice, shift: int
    ) -> None:
        of_rows = _clipped(rows, tile.row, tile.raster.height)
        of_cols = _clipped(cols, tile.column + shift, tile.raster.width)
        if of_rows.start >= of_rows.stop or of_cols.start >= of_cols.stop:
            return
        numbers = self._numbers(tile, bands, of_rows, of_cols)
        top, left = tile.row + of_rows.start - rows.start, tile.column + shift + of_cols.start - cols.start
        into = values[:, top : top + numbers.shape[1], left : left + numbers.shape[2]]
        np.copyto(into, numbers, where=~np.isnan(numbers))

    def _numbers(self, tile: Tile, bands: Sequence[int], rows: slice, cols: slice) -> np.ndarray:
        raster = tile.raster
        if self.cache is None or tile.identity is None:
            return raster.read(bands, rows, cols)
        identity = f"{tile.identity} {raster.level}"
        return self.cache.read(identity, bands, rows, cols, (raster.height, raster.width), raster.read)


def mosaics(rasters: Sequence[Raster], identities: Sequence[str | None], cache: Cache | None) -> tuple[Mosaic, ...]:
    """Rasters gathered by lattice, in their order; the identities are those of the rasters."""
    gathered: list[list[Tile]] = []
    for raster, identity in zip(rasters, identities, strict=True):
        for tiles in gathered:
            place = _place(raster, tiles[0].raster)
            if place is not None:
                tiles.append(Tile(raster, *place, identity))
                break
        else:
            gathered.append([Tile(raster, 0, 0, identity)])
    return tuple(Mosaic(tuple(tiles), cache) for tiles in gathered)


def _place(raster: Raster, first: Raster) -> tuple[int, int] | None:
    """(row, column) of a raster's first pixel in the lattice of another; None where it is on no such place."""
    alike = (raster.crs, raster.scales, raster.offsets, raster.names) == (
        first.crs,
        first.scales,
        first.offsets,
        first.names,
    )
    if not alike:
        return None
    a, b, column, d, e, row = tuple(~first.transform @ raster.transform)[:6]
    drift = np.array([(a - 1) * raster.width, b * raster.height, d * raster.width, (e - 1) * raster.height])
    off = np.array([column - round(column), row - round(row)])
    if np.abs(drift).max() > _ALIGNED or np.abs(off).max() > _ALIGNED:
        return None
    return round(row), round(column)


def _clipped(wanted: slice, start: int, length: int) -> slice:
    """The part of a tile's axis that a window of the lattice covers, counted from the tile's start."""
    return slice(max(wanted.start - start, 0), min(wanted.stop - start, length))


def positions(
    crs: CRS, transform: Affine, grid: Grid, columns: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(column, row) in a lattice of (column, row) in the grid; infinite where the lattice's CRS has no such place.

    Longitudes are told in one run, on both sides of the antimeridian, within half a turn of the grid's centre.
    """
    from rasterio.warp import transform as reproject

    xs, ys = _apply(grid.transform, columns, rows)
    middle = _apply(grid.transform, np.array(grid.width / 2), np.array(grid.height / 2))
    from_crs = horizontal(grid.crs)
    x, y = (np.asarray(part) for part in reproject(from_crs, crs, [*xs, middle[0]], [*ys, middle[1]]))
    x, y, centre = x[:-1], y[:-1], x[-1]
    if crs.is_geographic:
        x = np.where(np.isfinite(x), centre + (x - centre + 180) % 360 - 180, x)
    return _apply(~transform, x, y)


def _apply(affine: Affine, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b, c, d, e, f = tuple(affine)[:6]
    return a * x + b * y + c, d * x + e * y + f


def step(mosaic: Mosaic | Raster, grid: Grid) -> tuple[float, float]:
    """Source pixels to one pixel of the grid along (y, x), at its centre."""
    columns = np.array([0.0, 0.0, 1.0]) + (grid.width - 1) / 2
    rows = np.array([0.0, 1.0, 0.0]) + (grid.height - 1) / 2
    column, row = positions(mosaic.crs, mosaic.transform, grid, columns, rows)
    down = max(abs(row[1] - row[0]), abs(row[2] - row[0]))
    right = max(abs(column[1] - column[0]), abs(column[2] - column[0]))
    return float(down), float(right)


def lattice_points(mosaic: Mosaic, grid: Grid, part: tuple[slice, slice] | None = None) -> tuple[np.ndarray, ...]:
    """(columns, rows) in the lattice of 65 x 65 points spread over the grid, or over some rows and columns of it."""
    rows, cols = part or (slice(0, grid.height), slice(0, grid.width))
    columns, down = np.meshgrid(
        np.linspace(cols.start, cols.stop, _POINTS_A_SIDE), np.linspace(rows.start, rows.stop, _POINTS_A_SIDE)
    )
    return positions(mosaic.crs, mosaic.transform, grid, columns.ravel(), down.ravel())


def window(
    points: tuple[np.ndarray, ...], steps: tuple[float, float], within: tuple[slice, slice] | None = None
) -> tuple[slice, slice]:
    """Rows and columns of a lattice that hold the points and what a bilinear kernel reaches beyond them.

    Args:
        points: as from `lattice_points`.
        steps: as from `step`: the kernel grows with what it averages.
        within: bounds that the window may not leave.
    """
    spans = []
    for axis, values in enumerate(reversed(points)):
        finite = values[np.isfinite(values)]
        if not finite.size:
            return slice(0, 0), slice(0, 0)
        reach = _REACH + int(np.ceil(max(1.0, steps[axis])))
        span = slice(int(np.floor(finite.min())) - reach, int(np.ceil(finite.max())) + reach)
        if within is not None:
            first = min(max(span.start, within[axis].start), within[axis].stop)
            span = slice(first, max(first, min(span.stop, within[axis].stop)))
        spans.append(span)
    return spans[0], spans[1]
