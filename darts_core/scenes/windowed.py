"""Rasters as lazy arrays of which a window costs what it holds.

An ordinary dask chunk is read and computed whole for each window that touches it. Windows of super-resolution are
smaller than the blocks of most files, overlap, and follow each other: here dask slices before anything is read, and
the blocks that were decoded last are kept, so that a block is decoded once for all the windows in it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from threading import Lock
from typing import Any

import dask.array as da
import numpy as np

from darts_core.scenes.rasters import Raster, read_window

_PIECE = (512, 2048)
"""About how many rows and columns are decoded at once: enough that opening the file costs little beside it."""
MASK = 0
"""The band that is the mask of the file."""

Read = Callable[[slice, slice], np.ndarray]
"""Values of a window, rows and columns in pixels of the raster, axes (y, x)."""


@dataclass(slots=True)
class _Slot:
    lock: Lock = field(default_factory=Lock)
    values: np.ndarray | None = None


class Decoded:
    """What was decoded last, for all threads together; two that want the same wait for one."""

    def __init__(self, capacity: int) -> None:
        """`capacity` is the number of bytes that are kept; the latest is kept whatever its size."""
        self._capacity = capacity
        self._lock = Lock()
        self._slots: OrderedDict[Any, _Slot] = OrderedDict()

    def __reduce__(self) -> tuple[Any, ...]:
        return Decoded, (self._capacity,)

    def get(self, key: Any, decode: Callable[[], np.ndarray]) -> np.ndarray:
        """The array of `key`, decoded where it is not held. It is shared: do not write to it."""
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
            self._slots.move_to_end(key)
        with slot.lock:
            if slot.values is None:
                slot.values = decode()
                self._make_room()
            return slot.values

    def _make_room(self) -> None:
        with self._lock:
            held = {key: slot.values.nbytes for key, slot in self._slots.items() if slot.values is not None}
            excess = sum(held.values()) - self._capacity
            for key, size in list(held.items())[:-1]:
                if excess <= 0:
                    break
                del self._slots[key]
                excess -= size


def piece(raster: Raster) -> tuple[int, int]:
    """(rows, columns) of what is decoded at once: whole blocks of the file."""
    return raster.blocks_of(*_PIECE)


@dataclass(frozen=True, slots=True)
class RasterWindows:
    """Some bands of a raster, by windows."""

    raster: Raster
    bands: tuple[int, ...]
    """From 1: those that will be read, for a file may store them together."""
    decoded: Decoded

    def read(self, band: int, rows: slice, cols: slice) -> np.ndarray:
        """Numbers of a band, axes (y, x), dtype of the file; of `MASK`, uint8, 0 = no data.

        Raises:
            SceneError: the file is damaged.
        """
        together = self.bands if self.raster.interleaved and band in self.bands else (band,)
        dtype = "uint8" if band == MASK else self.raster.dtype

        def block(part_rows: slice, part_cols: slice) -> np.ndarray:
            key = (self.raster.path, together, part_rows.start, part_cols.start)
            whole = self.decoded.get(key, lambda: read_window(self.raster, together, part_rows, part_cols))
            return whole[together.index(band)]

        return gather(rows, cols, self.raster.grid.shape, piece(self.raster), dtype, block)


def gather(
    rows: slice, cols: slice, shape: tuple[int, int], size: tuple[int, int], dtype: str, block: Read
) -> np.ndarray:
    """A window from the blocks that it touches, axes (y, x).

    Args:
        shape: of the raster.
        size: (rows, columns) of its blocks, which the last ones may not fill.
        block: gives a whole block.
    """
    values = np.empty((rows.stop - rows.start, cols.stop - cols.start), dtype)
    for of_rows, of_cols in product(_blocks(rows, shape[0], size[0]), _blocks(cols, shape[1], size[1])):
        into_rows, from_rows = _overlap(rows, of_rows)
        into_cols, from_cols = _overlap(cols, of_cols)
        values[into_rows, into_cols] = block(of_rows, of_cols)[from_rows, from_cols]
    return values


def _blocks(wanted: slice, length: int, size: int) -> list[slice]:
    """The blocks of an axis that touch what is wanted."""
    starts = range(wanted.start // size * size, wanted.stop, size)
    return [slice(start, min(start + size, length)) for start in starts]


def _overlap(wanted: slice, block: slice) -> tuple[slice, slice]:
    """Where both overlap, counted from the start of each."""
    first, last = max(wanted.start, block.start), min(wanted.stop, block.stop)
    return slice(first - wanted.start, last - wanted.start), slice(first - block.start, last - block.start)


def lazy(read: Read, shape: tuple[int, int], chunks: tuple[int, int], dtype: str) -> da.Array:
    """What `read` gives for all rows and columns, axes (y, x); a slice of it reads that slice alone.

    Args:
        read: called by several threads at once.
    """
    sliceable = _Sliceable(read, shape, np.dtype(dtype))
    return da.from_array(sliceable, chunks, name=False, asarray=False, meta=np.empty((0, 0), dtype))


@dataclass(frozen=True, slots=True)
class _Sliceable:
    read: Read
    shape: tuple[int, int]
    dtype: np.dtype
    ndim: int = 2

    def __getitem__(self, key: tuple[Any, ...]) -> np.ndarray:
        (rows, of_rows), (cols, of_cols) = (_hull(part, length) for part, length in zip(key, self.shape, strict=True))
        return self.read(rows, cols)[of_rows, of_cols]


def _hull(part: Any, length: int) -> tuple[slice, Any]:
    """The pixels from the first to the last of an index, and the index into those."""
    if not isinstance(part, slice):
        index = np.asarray(part)
        return slice(int(index.min()), int(index.max()) + 1), index - index.min()
    members = range(length)[part]
    first, last = sorted((members[0], members[-1])) if members else (0, -1)
    return slice(first, last + 1), slice(None, None, members.step)
