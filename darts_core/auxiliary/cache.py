"""A folder that keeps what was read of remote rasters, so that neighbours and later runs need no server."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

TILE = 512
"""Pixels of the source a side of what is kept as one file."""
_ROOM_AFTER_PRUNING = 0.8

Read = Callable[[Sequence[int], slice, slice], np.ndarray]
"""Bands of a window, axes (band, y, x), float32."""


@dataclass(frozen=True, slots=True)
class Cache:
    """Tiles of rasters, each a file named by the content of its raster and its place.

    A raster that changed has another identity and is read anew. A file is whole or absent; one that is damaged is
    read anew. Several processes may share the folder.
    """

    folder: str
    capacity: int = 20 * 2**30
    """Bytes; beyond it the files that were not used for the longest time are removed."""

    def read(
        self, identity: str, bands: Sequence[int], rows: slice, cols: slice, shape: tuple[int, int], read: Read
    ) -> np.ndarray:
        """Bands of a window, axes (band, y, x), float32: from the folder, or by `read`, which is asked once.

        Args:
            identity: names raster, level and content.
            shape: rows and columns of the raster.
        """
        tiles = list(product(_tiles(rows, shape[0]), _tiles(cols, shape[1])))
        held = [self._load(self._path(identity, bands, *tile), bands, tile) for tile in tiles]
        missing = [tile for tile, values in zip(tiles, held, strict=True) if values is None]
        if missing:
            top, left = (min(tile[axis].start for tile in missing) for axis in (0, 1))
            bottom, right = (max(tile[axis].stop for tile in missing) for axis in (0, 1))
            fresh = read(bands, slice(top, bottom), slice(left, right))
            for number, tile in enumerate(tiles):
                if held[number] is None:
                    held[number] = values = fresh[:, _within(tile[0], top), _within(tile[1], left)]
                    self._store(self._path(identity, bands, *tile), values)
            self._prune()
        values = np.empty((len(bands), rows.stop - rows.start, cols.stop - cols.start), np.float32)
        for (of_rows, of_cols), tile_values in zip(tiles, held, strict=True):
            into_rows, from_rows = _overlap(rows, of_rows)
            into_cols, from_cols = _overlap(cols, of_cols)
            values[:, into_rows, into_cols] = tile_values[:, from_rows, from_cols]  # type: ignore[index]
        return values

    def _path(self, identity: str, bands: Sequence[int], rows: slice, cols: slice) -> Path:
        name = f"{identity}\0{list(bands)}\0{rows.start}\0{cols.start}"
        digest = hashlib.blake2b(name.encode(), digest_size=20).hexdigest()
        return Path(self.folder, digest[:2], f"{digest}.npy")

    def _load(self, path: Path, bands: Sequence[int], tile: tuple[slice, slice]) -> np.ndarray | None:
        expected = (len(bands), *(part.stop - part.start for part in tile))
        try:
            values = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        if values.shape != expected or values.dtype != np.float32:
            return None
        with suppress(OSError):
            os.utime(path)
        return values

    def _store(self, path: Path, values: np.ndarray) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            try:
                np.save(file, values, allow_pickle=False)
            except BaseException:
                os.unlink(file.name)
                raise
        os.replace(file.name, path)

    def _prune(self) -> None:
        files = []
        for path in Path(self.folder).glob("*/*"):
            with suppress(OSError):
                state = path.stat()
                files.append((state.st_mtime_ns, state.st_size, path))
        total = sum(size for _, size, _ in files)
        if total <= self.capacity:
            return
        for _, size, path in sorted(files):
            with suppress(OSError):
                path.unlink()
            total -= size
            if total <= self.capacity * _ROOM_AFTER_PRUNING:
                break


def _tiles(wanted: slice, length: int) -> list[slice]:
    starts = range(wanted.start // TILE * TILE, wanted.stop, TILE)
    return [slice(start, min(start + TILE, length)) for start in starts]


def _within(part: slice, start: int) -> slice:
    return slice(part.start - start, part.stop - start)


def _overlap(wanted: slice, tile: slice) -> tuple[slice, slice]:
    """Where both overlap, counted from the start of each."""
    first, last = max(wanted.start, tile.start), min(wanted.stop, tile.stop)
    return slice(first - wanted.start, last - wanted.start), slice(first - tile.start, last - tile.start)
