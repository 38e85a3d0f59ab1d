"""Rasters as lazy arrays of the numbers in them, after a check that the whole file is there."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import dask.array as da
import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from darts_core.grids import Grid
from darts_core.scenes.scene import SceneError

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

_CHUNK = 2048
_DRIVERS = {".jp2": "JP2OpenJPEG", ".tif": "GTiff", ".tiff": "GTiff"}
_END_OF_CODESTREAM = b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class Raster:
    """A raster file that was found whole."""

    path: Path
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
    chunk: tuple[int, int]
    """(rows, columns), whole blocks of the file."""
    interleaved: bool
    """Whether a block holds all bands, so that one read gives them all."""


def open_raster(path: Path, label: str) -> Raster:
    """Inspect a GeoTIFF or JPEG 2000 file; no pixel is read.

    Raises:
        SceneError: unreadable, truncated, without a CRS, or not aligned with the axes of its CRS.
    """
    try:
        with _opened(path) as source:
            if source.crs is None:
                raise SceneError(
                    f"{label} has no CRS, so nobody knows where it lies. Assign the one it was made in "
                    "(gdal_edit.py -a_srs EPSG:…) and deliver it again"
                )
            if source.transform.b or source.transform.d:
                raise SceneError(f"{label} is rotated against its CRS; warp it to a north-up grid first")
            _check_whole(source, path, label)
            return Raster(
                path,
                label,
                Grid(source.crs, source.transform, source.height, source.width),
                source.count,
                source.dtypes[0],
                source.nodatavals,
                source.scales,
                source.offsets,
                source.descriptions,
                _chunk(source),
                source.count > 1 and source.profile.get("interleave") == "pixel",
            )
    except RasterioError as error:
        raise SceneError(f"{label} cannot be read, it may be truncated: {error}. Deliver it again") from error


@contextmanager
def _opened(path: Path) -> Iterator[DatasetReader]:
    """Open with the driver of the file's suffix only, and without looking at what lies beside it."""
    # a .tif that is a VRT inside would otherwise open any file it names
    driver = _DRIVERS[path.suffix.lower()]
    with warnings.catch_warnings(), rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, driver=driver) as source:
            yield source


def _check_whole(source: DatasetReader, path: Path, label: str) -> None:
    if source.driver == "JP2OpenJPEG":
        whole = _jp2_is_whole(path)
    else:
        size = path.stat().st_size
        whole = all(end <= size for end in _block_ends(source))
    if not whole:
        raise SceneError(
            f"{label} is truncated: {path.stat().st_size} bytes do not hold all of its blocks. Deliver it again"
        )


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


def _chunk(source: DatasetReader) -> tuple[int, int]:
    rows, columns = source.block_shapes[0]
    return (
        min(source.height, rows * max(1, _CHUNK // rows)),
        min(source.width, columns * max(1, _CHUNK // columns)),
    )


def lazy_bands(raster: Raster, indexes: Sequence[int], zoom: int = 1) -> da.Array:
    """Bands of a raster, axes (band, y, x), dtype of the file, every number as it is in the file.

    Args:
        indexes: bands, from 1.
        zoom: each pixel is repeated this many times along both axes, which invents no number.
    """
    height, width = raster.grid.height * zoom, raster.grid.width * zoom
    together = len(indexes) if raster.interleaved else 1
    chunks = da.core.normalize_chunks(
        (together, raster.chunk[0] * zoom, raster.chunk[1] * zoom), (len(indexes), height, width)
    )
    return da.map_blocks(
        _read_block,
        raster.path,
        raster.label,
        tuple(indexes),
        zoom,
        chunks=chunks,
        dtype=raster.dtype,
        meta=np.empty((0, 0, 0), raster.dtype),
    )


def _read_block(
    path: Path, label: str, indexes: tuple[int, ...], zoom: int, block_info: dict | None = None
) -> np.ndarray:
    (first, last), (top, bottom), (left, right) = (block_info or {})[None]["array-location"]
    window = Window.from_slices((top // zoom, -(-bottom // zoom)), (left // zoom, -(-right // zoom)))
    try:
        with _opened(path) as source:
            values = source.read(list(indexes[first:last]), window=window)
    except (RasterioError, OSError) as error:
        raise SceneError(f"{label} is damaged: {error}. Deliver it again") from error
    return values if zoom == 1 else values.repeat(zoom, axis=1).repeat(zoom, axis=2)
