"""Writes the tiles of a GeoTIFF as they are finished, and its overviews in the same pass."""

from __future__ import annotations

import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numcodecs.zstd import compress as zstd

from darts_core.inference.blocks import TILE, Block
from darts_core.inference.pyramid import Pyramid, halve
from darts_core.inference.tiff import Layout, RasterError, TileTable

ZSTD_LEVEL = 1
DEFLATE_LEVEL = 1
"""Higher levels make a file some 10 % smaller, and cost more than everything else that happens to a pixel."""

THREADS = min(4, os.cpu_count() or 1)
AHEAD = 8
"""Tiles that are on their way through the threads. Not a matter of the machine: it decides the order in the file."""

Bytes = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Encoded:
    """A tile as it goes into the file."""

    bands: list[Bytes]
    quarter: np.ndarray | None
    """The tile at half its resolution, where there is a coarser level."""


class TileWriter:
    """Takes the tiles of a raster once each, in any order; `finish` completes the file.

    Tiles lie in the file in the order in which they were finished, those of overviews between those of the raster,
    and the bands of one place side by side. A reader finds each by the tables at the start, with one range request.
    Only the first tile of each level is held back, and written last from the coarsest level to the raster: what
    validates Cloud-Optimized GeoTIFF takes the order of these for the order of the levels.

    Threads encode; this one alone writes, in the order in which tiles came, so that the same tiles in the same
    order give the same bytes.
    """

    def __init__(
        self, file: BinaryIO, layout: Layout, pool: ThreadPoolExecutor, *, nodata: float | None, categorical: bool
    ) -> None:
        self._file, self._layout, self._pool = file, layout, pool
        self._nodata, self._categorical = nodata, categorical
        self._tables = [TileTable.empty(layout.bands, level) for level in layout.levels]
        self._pyramid = Pyramid(layout.levels)
        self._underway: deque[tuple[int, int, int, Future[Encoded]]] = deque()
        self._first: dict[int, Bytes] = {}
        self._position = file.seek(len(layout.head(self._tables)))

    def add(self, row: int, col: int, tile: np.ndarray) -> None:
        """Take a tile of the raster; it is copied, so that whoever made it can use the array again.

        Args:
            row, col: counted in tiles.
            tile: (bands, rows, cols), `TILE` pixels a side except at the raster's right and bottom edge.
        """
        self._submit(0, row, col, tile.copy())
        while len(self._underway) > AHEAD:
            self._settle()

    def finish(self) -> None:
        """Write what is underway, the held back tiles and the head."""
        while self._underway:
            self._settle()
        for level in sorted(self._first, reverse=True):
            self._append(level, (0, 0, 0), self._first[level])
        self._file.seek(0)
        self._file.write(self._layout.head(self._tables))

    def _submit(self, level: int, row: int, col: int, tile: np.ndarray) -> None:
        self._underway.append((level, row, col, self._pool.submit(self._encode, level, tile)))

    def _settle(self) -> None:
        """Write the tile that is underway for the longest time; it may have completed one of the next level."""
        level, row, col, future = self._underway.popleft()
        encoded = future.result()
        for band, data in enumerate(encoded.bands):
            if (band, row, col) == (0, 0, 0):
                self._first[level] = data
            else:
                self._append(level, (band, row, col), data)
        if encoded.quarter is not None:
            parent = self._pyramid.add(level, row, col, encoded.quarter)
            if parent is not None:
                self._submit(level + 1, row // 2, col // 2, parent)

    def _append(self, level: int, place: tuple[int, int, int], data: Bytes) -> None:
        size = self._file.write(data)
        self._tables[level].offsets[place] = self._position
        self._tables[level].counts[place] = size
        self._position += size

    def _encode(self, level: int, tile: np.ndarray) -> Encoded:
        rows, cols = tile.shape[1:]
        whole = tile
        if (rows, cols) != (TILE, TILE):
            whole = np.pad(tile, ((0, 0), (0, TILE - rows), (0, TILE - cols)), mode="edge")
        if self._layout.predicted:
            whole = _differences(whole)
        compress = COMPRESS[self._layout.compression]
        bands = [compress(np.ascontiguousarray(band).data) for band in whole]
        coarsest = level + 1 == len(self._layout.levels)
        return Encoded(bands, None if coarsest else halve(tile, self._nodata, categorical=self._categorical))


COMPRESS: dict[str, Callable[[memoryview], Bytes]] = {
    "none": lambda tile: tile,
    "deflate": lambda tile: zlib.compress(tile, DEFLATE_LEVEL),
    "zstd": lambda tile: zstd(tile, ZSTD_LEVEL),
}


def _differences(tile: np.ndarray) -> np.ndarray:
    """Each pixel less its left neighbour, around the ends of the dtype: TIFF's horizontal predictor."""
    result = np.empty(tile.shape, tile.dtype)
    result[..., :1] = tile[..., :1]
    np.subtract(tile[..., 1:], tile[..., :-1], out=result[..., 1:])
    return result


def cut(blocks: Iterable[Block], layout: Layout, name: str) -> Iterator[tuple[int, int, np.ndarray]]:
    """Cut the blocks of a raster into its tiles.

    Args:
        name: what errors call the raster.

    Returns:
        Row and column, counted in tiles, and pixels (bands, rows, cols) of every tile, each once.

    Raises:
        RasterError: a block of other bands or dtype, or that does not lie on tiles; blocks that overlap, or leave
            tiles out.
    """
    raster = layout.levels[0]
    taken = np.zeros(raster.tiles, bool)
    for block in blocks:
        _check(block, layout, name)
        rows, cols = (
            range(start // TILE, -(-(start + length) // TILE))
            for start, length in zip((block.row, block.col), block.data.shape[1:], strict=True)
        )
        area = taken[rows.start : rows.stop, cols.start : cols.stop]
        if area.any():
            raise _refused(block, name, "every pixel once, some of these came before")
        area[:] = True
        for row in rows:
            for col in cols:
                top, left = row * TILE - block.row, col * TILE - block.col
                yield row, col, block.data[:, top : top + TILE, left : left + TILE]
    if not taken.all():
        row, col = np.argwhere(~taken)[0] * TILE
        raise RasterError(
            f"{name} has {raster.height} x {raster.width} pixels in {taken.size} tiles; the stream ended after "
            f"{taken.sum()} of them, and the first that is missing begins at row {row}, column {col}"
        )


def _check(block: Block, layout: Layout, name: str) -> None:
    """Refuse a block that is not a piece of the raster."""
    raster = layout.levels[0]
    if block.data.ndim != 3 or block.data.shape[0] != layout.bands or block.data.dtype != layout.dtype:
        raise _refused(block, name, f"{layout.bands} bands of {layout.dtype}")
    starts, lengths, wholes = (block.row, block.col), block.data.shape[1:], (raster.height, raster.width)
    for axis, start, length, whole in zip(("rows", "columns"), starts, lengths, wholes, strict=True):
        stop = start + length
        if start < 0 or length < 1 or stop > whole or start % TILE or (stop % TILE and stop < whole):
            raise _refused(block, name, f"{axis} within {whole}, from a multiple of {TILE} to another or to the end")


def _refused(block: Block, name: str, expected: str) -> RasterError:
    return RasterError(
        f"{name}: received a block at row {block.row}, column {block.col} of {block.data.shape} {block.data.dtype}; "
        f"expected {expected}"
    )
