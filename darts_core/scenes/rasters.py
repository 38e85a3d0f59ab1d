"""Rasters as lazy arrays of the numbers in them, after a check that the whole file is there."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import dask.array as da
import numpy as np
import rasterio
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from darts_core.grids import Grid
from darts_core.remote import RemoteFile, gdal_path
from darts_core.scenes.scene import SceneError

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

CHUNK = 2048
"""Pixels a side of a dask chunk, less where blocks of the file do not fill it."""
_MOST_PIXELS = 2**33
_MOST_BLOCKS = 2**24
_LARGEST_BLOCK = 2**29
_DRIVERS = {".jp2": "JP2OpenJPEG", ".tif": "GTiff", ".tiff": "GTiff"}
_END_OF_CODESTREAM = b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class Raster:
    """A raster file that was found whole."""

    path: Path | RemoteFile
    label: str
    """How errors name it."""
    grid: Grid
    count: int
    """Bands."""
    dtype: str
    nodata: tuple[float | None, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    descriptions: tuple[str | None, ...]
    block: tuple[int, int]
    """(rows, columns) of what the file stores and decodes as one."""
    interleaved: bool
    """Whether a block holds all bands, so that one read gives them all."""
    masked: bool
    """Whether a mask, which is none of the bands, says where the file holds data."""
    alpha: int | None
    """The band that is alpha, from 1: 0 in it is no data."""
    tags: Mapping[str, str]
    band_tags: tuple[Mapping[str, str], ...]
    sidecars: bool
    """Whether what lies beside the file (statistics, masks, headers) is part of it."""

    def blocks_of(self, rows: int, columns: int) -> tuple[int, int]:
        """As many whole blocks as fit in so many rows and columns, one at least, at most the raster."""
        return (
            min(self.grid.height, self.block[0] * max(1, rows // self.block[0])),
            min(self.grid.width, self.block[1] * max(1, columns // self.block[1])),
        )

    def says_scale(self, band: int) -> bool:
        """Whether the file states how the numbers of a band (from 1) become physical values."""
        return (self.scales[band - 1], self.offsets[band - 1]) != (1.0, 0.0)


def open_raster(path: Path | RemoteFile, label: str, *, sidecars: bool = False) -> Raster:
    """Inspect a raster file; no pixel is read. A .tif, .tiff or .jp2 must be what its suffix says.

    Raises:
        SceneError: unreadable, truncated, or without a CRS.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with _opened(path, sidecars) as source:
                return _inspected(source, path, label, sidecars)
    except RasterioError as error:
        raise SceneError(f"{label} cannot be read, it may be truncated: {error}. Deliver it again") from error


def _inspected(source: DatasetReader, path: Path | RemoteFile, label: str, sidecars: bool) -> Raster:
    if source.count == 0:
        raise SceneError(f"{label} holds no bands of its own. Name one of the rasters in it, or convert it")
    if source.crs is None:
        raise SceneError(
            f"{label} has no CRS, so nobody knows where it lies. Assign the one it was made in "
            "(gdal_edit.py -a_srs EPSG:…) and deliver it again"
        )
    _check_size(source, label)
    _check_whole(source, path, label)
    flags = source.mask_flag_enums[0]
    return Raster(
        path=path,
        label=label,
        grid=Grid(source.crs, source.transform, source.height, source.width),
        count=source.count,
        dtype=source.dtypes[0],
        nodata=source.nodatavals,
        scales=source.scales,
        offsets=source.offsets,
        descriptions=source.descriptions,
        block=source.block_shapes[0],
        interleaved=source.count > 1 and source.profile.get("interleave") == "pixel",
        masked=MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags,
        alpha=next((n for n, kind in enumerate(source.colorinterp, 1) if kind is ColorInterp.alpha), None),
        tags=_kept(source.tags()),
        band_tags=tuple(_kept(source.tags(band)) for band in source.indexes),
        sidecars=sidecars,
    )


def _kept(tags: Mapping[str, str]) -> dict[str, str]:
    """Less what GDAL keeps there about the grid and the values of this very file."""
    return {name: text for name, text in tags.items() if name != "AREA_OR_POINT" and not name.startswith("STATISTICS_")}


@contextmanager
def _opened(path: Path | RemoteFile, sidecars: bool) -> Iterator[DatasetReader]:
    """Open with the driver of the file's suffix, where it is one of the usual ones."""
    # a .tif that is a VRT inside would otherwise open any file it names
    driver = _DRIVERS.get(path.suffix.lower())
    if isinstance(path, RemoteFile):
        with (
            rasterio.Env(**path.options),
            rasterio.open(gdal_path(path.url), driver=driver or "GTiff") as source,
        ):
            yield source
        return
    options = {} if sidecars else {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
    with rasterio.Env(**options), rasterio.open(path, driver=driver) as source:
        yield source


def _check_size(source: DatasetReader, label: str) -> None:
    """Refuse what a few bytes of a header can claim, and what no scene is."""
    rows, columns = source.block_shapes[0]
    blocks = -(-source.height // rows) * -(-source.width // columns) * source.count
    block = rows * columns * np.dtype(source.dtypes[0]).itemsize
    for claimed, most, what in (
        (source.height * source.width * source.count, _MOST_PIXELS, "pixels of all bands"),
        (blocks, _MOST_BLOCKS, "blocks"),
        (block, _LARGEST_BLOCK, "bytes in a block, which is decoded as one"),
    ):
        if claimed > most:
            raise SceneError(
                f"{label} says of itself that it is {source.width} x {source.height} x {source.count}, with blocks of "
                f"{columns} x {rows}: {claimed} {what}, and {most} are the most that a scene may have. Cut it into "
                "tiles of ordinary size"
            )


def _check_whole(source: DatasetReader, path: Path | RemoteFile, label: str) -> None:
    size = path.size if isinstance(path, RemoteFile) else path.stat().st_size
    if isinstance(path, Path) and source.driver == "JP2OpenJPEG":
        whole = _jp2_is_whole(path)
    else:
        whole = all(end <= size for end in _block_ends(source))
    if not whole:
        raise SceneError(f"{label} is truncated: {size} bytes do not hold all of its blocks. Deliver it again")


def _jp2_is_whole(path: Path) -> bool:
    """Whether the codestream ends with its end marker; nothing follows it in Sentinel-2 products."""
    with path.open("rb") as file:
        file.seek(-len(_END_OF_CODESTREAM), 2)
        return file.read() == _END_OF_CODESTREAM


def _block_ends(source: DatasetReader) -> Iterator[int]:
    """Where each block of a GeoTIFF ends in the file; blocks that are nodata throughout may be left out of it."""
    bands = (1,) if source.profile.get("interleave") == "pixel" else source.indexes
    rows, columns = source.block_shapes[0]
    for band in bands:
        for row in range(-(-source.height // rows)):
            for column in range(-(-source.width // columns)):
                offset = source.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", "TIFF", bidx=band)
                size = source.get_tag_item(f"BLOCK_SIZE_{column}_{row}", "TIFF", bidx=band)
                if offset is not None and size is not None:
                    yield int(offset) + int(size)


def lazy_bands(raster: Raster, indexes: Sequence[int], zoom: int = 1, chunk: int = CHUNK) -> da.Array:
    """Bands of a raster, axes (band, y, x), dtype of the file, every number as it is in the file.

    Args:
        indexes: bands, from 1.
        zoom: each pixel is repeated this many times along both axes, which invents no number.
        chunk: pixels of the raster a side that one chunk has at most; whole blocks of the file.
    """
    height, width = raster.grid.height * zoom, raster.grid.width * zoom
    together = len(indexes) if raster.interleaved else 1
    rows, columns = raster.blocks_of(chunk, chunk)
    chunks = da.core.normalize_chunks((together, rows * zoom, columns * zoom), (len(indexes), height, width))
    return da.map_blocks(
        _read_chunk,
        raster,
        tuple(indexes),
        zoom,
        chunks=chunks,
        dtype=raster.dtype,
        meta=np.empty((0, 0, 0), raster.dtype),
    )


def _read_chunk(raster: Raster, indexes: tuple[int, ...], zoom: int, block_info: dict | None = None) -> np.ndarray:
    (first, last), (top, bottom), (left, right) = (block_info or {})[None]["array-location"]
    rows, cols = slice(top // zoom, -(-bottom // zoom)), slice(left // zoom, -(-right // zoom))
    values = read_window(raster, indexes[first:last], rows, cols)
    return values if zoom == 1 else values.repeat(zoom, axis=1).repeat(zoom, axis=2)


def read_window(raster: Raster, indexes: Sequence[int], rows: slice, cols: slice) -> np.ndarray:
    """Bands (from 1; 0 is the mask of the file, uint8, 0 = no data) of a window, axes (band, y, x), as they are.

    Raises:
        SceneError: the file is damaged.
    """
    window = Window.from_slices(rows, cols)
    try:
        with _opened(raster.path, raster.sidecars) as source:
            if list(indexes) == [0]:
                return source.read_masks([1], window=window)
            return source.read(list(indexes), window=window)
    except (RasterioError, OSError) as error:
        raise SceneError(f"{raster.label} is damaged: {error}. Deliver it again") from error
