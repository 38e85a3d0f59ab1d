"""The head of a tiled GeoTIFF: what is known before, and what is known after its tiles are written.

TIFF 6.0 with tiles, and its 64-bit form, BigTIFF. Only what `tilewriter` needs; files are read by GDAL.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from darts_core.errors import DartsError
from darts_core.inference.blocks import TILE
from darts_core.inference.pyramid import Level


class RasterError(DartsError):
    """A GeoTIFF that cannot be written or read as the product it should be."""


class Code(IntEnum):
    """The tags that depend on the file; all others are GDAL's and are carried over as they are."""

    SUBFILE_TYPE = 254
    WIDTH = 256
    HEIGHT = 257
    COMPRESSION = 259
    PREDICTOR = 317
    TILE_OFFSETS = 324
    TILE_BYTES = 325


ONLY_ONCE = {33550, 33922, 34264, 34735, 34736, 34737, 42112}
"""Tags that the raster has and its overviews do not: the georeferencing, and GDAL's band names, scales and tags."""

COMPRESSIONS = {"none": 1, "deflate": 8, "zstd": 50000}
"""Values of the compression tag."""

HORIZONTAL_PREDICTOR = 2

SHORT, LONG, LONG8 = 3, 4, 16
"""Types of what a tag holds, as TIFF numbers them: unsigned integers of 2, 4 and 8 bytes."""
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, LONG8: 8}
"""Bytes of one value of each type."""


@dataclass(frozen=True, slots=True)
class Tag:
    """One entry of a directory."""

    code: int
    kind: int
    """Type of the values, a key of `SIZES`."""
    data: bytes
    """The values, little-endian."""

    @property
    def count(self) -> int:
        """How many values."""
        return len(self.data) // SIZES[self.kind]


@dataclass(frozen=True, slots=True)
class TileTable:
    """Where the tiles of one level lie in the file."""

    offsets: np.ndarray
    """uint64 (bands, tile rows, tile columns), from the start of the file."""
    counts: np.ndarray
    """uint32 (bands, tile rows, tile columns), bytes."""

    @classmethod
    def empty(cls, bands: int, level: Level) -> TileTable:
        shape = bands, *level.tiles
        return cls(np.zeros(shape, np.uint64), np.zeros(shape, np.uint32))


@dataclass(frozen=True, slots=True)
class Layout:
    """A GeoTIFF before its first tile: all but where its tiles will lie."""

    levels: tuple[Level, ...]
    """The raster and its overviews, from fine to coarse."""
    bands: int
    dtype: np.dtype[Any]
    compression: str
    """A key of `COMPRESSIONS`."""
    described: tuple[Tag, ...]
    """All other tags, from GDAL: georeferencing, sample format, nodata, metadata."""
    big: bool
    """Whether offsets have 64 bits."""

    @property
    def predicted(self) -> bool:
        """Whether tiles hold differences along their rows; floats do not get smaller by that."""
        return self.compression != "none" and self.dtype.kind in "iu"

    def head(self, tables: Sequence[TileTable]) -> bytes:
        """The file up to its first tile; its length does not depend on what the tables hold."""
        pairs = enumerate(zip(self.levels, tables, strict=True))
        return pack([self._directory(number, level, table) for number, (level, table) in pairs], big=self.big)

    def _directory(self, number: int, level: Level, table: TileTable) -> list[Tag]:
        offsets = (LONG8, "<u8") if self.big else (LONG, "<u4")
        own = [
            Tag(Code.WIDTH, LONG, struct.pack("<I", level.width)),
            Tag(Code.HEIGHT, LONG, struct.pack("<I", level.height)),
            Tag(Code.COMPRESSION, SHORT, struct.pack("<H", COMPRESSIONS[self.compression])),
            Tag(Code.TILE_OFFSETS, offsets[0], table.offsets.astype(offsets[1]).tobytes()),
            Tag(Code.TILE_BYTES, LONG, table.counts.astype("<u4").tobytes()),
        ]
        if self.predicted:
            own.append(Tag(Code.PREDICTOR, SHORT, struct.pack("<H", HORIZONTAL_PREDICTOR)))
        if number:
            own.append(Tag(Code.SUBFILE_TYPE, LONG, struct.pack("<I", 1)))
        return [*own, *(tag for tag in self.described if not number or tag.code not in ONLY_ONCE)]


def needs_big(levels: Sequence[Level], bands: int, dtype: np.dtype[Any]) -> bool:
    """Whether a file of these levels may pass the 4 GB that 32-bit offsets reach, should nothing compress."""
    tiles = bands * sum(level.tiles[0] * level.tiles[1] for level in levels)
    # a compressor adds less than 1 % to noise; the head has 12 bytes a tile, a tenth of a percent at most
    return tiles * TILE * TILE * dtype.itemsize * 1.02 + 2**20 > 2**32


def unpack(file: bytes) -> tuple[Tag, ...]:
    """The tags of the first directory of a little-endian TIFF with 32-bit offsets, less those in `Code`."""
    (start,) = struct.unpack_from("<I", file, 4)
    (entries,) = struct.unpack_from("<H", file, start)
    tags = []
    for position in range(start + 2, start + 2 + 12 * entries, 12):
        code, kind, count = struct.unpack_from("<HHI", file, position)
        size = SIZES[kind] * count
        place = position + 8 if size <= 4 else struct.unpack_from("<I", file, position + 8)[0]
        tags.append(Tag(code, kind, file[place : place + size]))
    return tuple(tag for tag in tags if tag.code not in set(Code))


def pack(directories: Sequence[Iterable[Tag]], *, big: bool) -> bytes:
    """A TIFF of directories only: the header, the directories, the values of their tags.

    Values follow the shortest first: what a reader fetches first holds all but the tile tables of fine levels.
    """
    form = _BIG if big else _CLASSIC
    ordered = [sorted(directory, key=lambda tag: tag.code) for directory in directories]
    starts = [len(form.header) + form.offset.size]
    for directory in ordered:
        starts.append(starts[-1] + form.length(len(directory)))

    tags = [(number, tag) for number, directory in enumerate(ordered) for tag in directory]
    long = sorted((one for one in tags if len(one[1].data) > form.offset.size), key=lambda one: len(one[1].data))
    values, end = dict[tuple[int, int], bytes](), starts[-1]
    for number, tag in long:
        values[number, tag.code] = form.offset.pack(end)
        end += _aligned(len(tag.data))

    parts = [form.header, form.offset.pack(starts[0])]
    for number, directory in enumerate(ordered):
        following = starts[number + 1] if number + 1 < len(ordered) else 0
        entries = (
            form.entry.pack(tag.code, tag.kind, tag.count, values.get((number, tag.code), tag.data))
            for tag in directory
        )
        parts.append(_filled(form.count.pack(len(directory)) + b"".join(entries) + form.offset.pack(following)))
    return b"".join([*parts, *(_filled(tag.data) for _, tag in long)])


@dataclass(frozen=True, slots=True)
class _Form:
    """How one of the two forms of TIFF spells its directories."""

    header: bytes
    """What comes before the offset of the first directory."""
    count: struct.Struct
    entry: struct.Struct
    """Code, type, number of values, and the values or where they lie."""
    offset: struct.Struct

    def length(self, entries: int) -> int:
        """Bytes of a directory with its count and the offset of the next one."""
        return _aligned(self.count.size + entries * self.entry.size + self.offset.size)


_CLASSIC = _Form(b"II*\0", struct.Struct("<H"), struct.Struct("<HHI4s"), struct.Struct("<I"))
_BIG = _Form(b"II+\0\x08\0\0\0", struct.Struct("<Q"), struct.Struct("<HHQ8s"), struct.Struct("<Q"))


def _aligned(length: int) -> int:
    return -(-length // 8) * 8


def _filled(data: bytes) -> bytes:
    return data.ljust(_aligned(len(data)), b"\0")
