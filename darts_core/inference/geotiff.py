"""Rasters as streams of blocks: written as Cloud-Optimized GeoTIFF, read back lazily as datasets."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

import dask.array as da
import numpy as np
import rasterio
import rioxarray  # noqa: F401  (registers the .rio accessor)
import xarray as xr
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile
from rasterio.windows import Window as RasterWindow

from darts_core import contracts
from darts_core.contracts import ContractError, Variable
from darts_core.grids import Grid
from darts_core.inference.blocks import TILE, Block
from darts_core.inference.pyramid import Level, levels
from darts_core.inference.tiff import Layout, RasterError, Tag, needs_big, unpack
from darts_core.inference.tilewriter import THREADS, TileWriter, cut
from darts_core.windows import Progress

Compression = Literal["zstd", "deflate", "none"]


@dataclass(frozen=True, slots=True)
class RasterStream:
    """A raster of one product whose blocks are made while they are written."""

    product: str
    """The contract that names and encodes the bands."""
    bands: tuple[str, ...]
    """Variables of the product, one a band."""
    grid: Grid
    blocks: Callable[[], Iterator[Block]]
    """Starts the stream: codes of `dtype`, in any order. A block's array may change when the next is asked for."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """The `data_source` of each band."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Further facts about the raster as a whole."""
    band_tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Further facts about single bands, by band."""

    @property
    def rows(self) -> tuple[Variable, ...]:
        """The contract of each band."""
        return contract_rows(self.product, self.bands)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The one dtype that holds the codes of every band; masks are uint8."""
        return np.result_type(*("uint8" if row.disk == "bool" else row.disk for row in self.rows))

    @property
    def nodata(self) -> float | None:
        """The one nodata value of the file; bands without nodata hold no such value."""
        values = {row.nodata for row in self.rows if row.nodata is not None}
        if len(values) > 1:
            raise RasterError(f"A GeoTIFF has one nodata value; the bands {', '.join(self.bands)} have {values}")
        return values.pop() if values else None

    @property
    def categorical(self) -> bool:
        """Whether every band holds classes, which overviews must not average."""
        return all(row.disk == "bool" or row.nodata is None for row in self.rows)


def contract_rows(product: str, bands: tuple[str, ...]) -> tuple[Variable, ...]:
    """The contract of each band.

    Raises:
        ContractError: a band that the product does not have.
    """
    found = {band: contracts.variable(product, band) for band in bands}
    rows = tuple(row for row in found.values() if row is not None)
    if len(rows) < len(bands):
        unknown = [band for band, row in found.items() if row is None]
        raise ContractError(f"Product {product!r} has no variable {', '.join(unknown)}")
    return rows


def blocks_of(dataset: xr.Dataset, product: str, *, tags: Mapping[str, str] | None = None) -> RasterStream:
    """A dataset in memory form, lazy or not, as a stream: encoded one tile row, or row of chunks, at a time.

    Raises:
        ContractError: a variable that the product does not have.
        GridError: no CRS.
    """
    bands = tuple(str(name) for name in dataset.data_vars)
    grid = Grid.of(dataset)
    rows = contract_rows(product, bands)
    sources = {name: str(dataset[name].attrs.get("data_source", "unknown")) for name in bands}

    # a chunk that several steps cut would be computed in each of them
    heights = {array.chunksizes["y"][0] for array in dataset.data_vars.values() if array.chunks}
    step = max((height for height in heights if height % TILE == 0), default=TILE)

    def blocks() -> Iterator[Block]:
        for start in range(0, grid.height, step):
            part = dataset.isel(y=slice(start, start + step)).compute()
            codes = [row.encode(part[row.name].transpose("y", "x").values) for row in rows]
            yield Block(start, 0, np.stack([one.astype(stream.dtype, copy=False) for one in codes]))

    stream = RasterStream(product, bands, grid, blocks, sources, tags or {})
    return stream


def write_cog(
    stream: RasterStream, path: Path, *, compression: Compression = "zstd", progress: Progress | None = None
) -> Path:
    """Write a stream as a Cloud-Optimized GeoTIFF with overviews, in one pass and with no other file.

    Band descriptions, scale, offset, nodata and tags are set; what an overview holds is said at `pyramid.halve`.
    The same blocks in the same order give the same bytes. `path` appears when the file is whole; until then it
    grows as a hidden file beside it, which a killed process leaves behind and the next one overwrites.

    Args:
        progress: told the tiles taken and in all.

    Raises:
        RasterError: blocks that do not lie on tiles, or do not cover every pixel once; another process that writes
            the same path.
    """
    return _write(stream, Path(path), _layout(stream, compression, levels(*stream.grid.shape)), progress)


def write_geotiff(stream: RasterStream, path: Path, *, progress: Progress | None = None) -> Path:
    """Write a stream as a tiled GeoTIFF without compression and overviews; else as `write_cog` does."""
    return _write(stream, Path(path), _layout(stream, "none", levels(*stream.grid.shape)[:1]), progress)


def _write(stream: RasterStream, path: Path, layout: Layout, progress: Progress | None) -> Path:
    rows, cols = layout.levels[0].tiles
    with _appearing(path) as file, ThreadPoolExecutor(THREADS) as pool:
        writer = TileWriter(file, layout, pool, nodata=stream.nodata, categorical=stream.categorical)
        for done, (row, col, tile) in enumerate(cut(stream.blocks(), layout, stream.product), start=1):
            writer.add(row, col, tile)
            if progress is not None:
                progress(done, rows * cols)
        writer.finish()
    return path


@contextmanager
def _appearing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes its place at the end of the block, whole and on the disk, or is gone after an error."""
    hidden = path.with_name(f".{path.name}.part")
    hidden.unlink(missing_ok=True)
    with open(hidden, "xb") as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if not _lies_at(file, hidden):
                raise RasterError(f"Another process began to write {path} too; run one at a time")
            os.replace(hidden, path)
        except BaseException:
            if _lies_at(file, hidden):
                hidden.unlink()
            raise


def _lies_at(file: BinaryIO, path: Path) -> bool:
    return path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())


def _layout(stream: RasterStream, compression: Compression, made: tuple[Level, ...]) -> Layout:
    bands, dtype = len(stream.bands), stream.dtype
    return Layout(made, bands, dtype, compression, _gdal_tags(stream), needs_big(made, bands, dtype))


def _gdal_tags(stream: RasterStream) -> tuple[Tag, ...]:
    """The tags that GDAL gives such a raster: georeferencing, sample format, nodata, and its own metadata.

    They are taken from a file of one pixel in memory, for how GeoTIFF spells a CRS is GDAL's knowledge.
    """
    profile = {
        "driver": "GTiff",
        "width": 1,
        "height": 1,
        "count": len(stream.bands),
        "dtype": stream.dtype,
        "nodata": stream.nodata,
        "crs": stream.grid.crs,
        "transform": stream.grid.transform,
        "tiled": True,
        "blockxsize": TILE,
        "blockysize": TILE,
        "interleave": "band",
        "photometric": "minisblack",
        "bigtiff": "no",
        "endianness": "little",
        "sparse_ok": True,
    }
    with MemoryFile() as memory:
        with memory.open(**profile) as target:
            target.descriptions = stream.bands
            target.scales = tuple(row.scale or 1.0 for row in stream.rows)
            target.offsets = tuple(row.offset or 0.0 for row in stream.rows)
            target.update_tags(**{**stream.tags, "product": stream.product})
            for number, name in enumerate(stream.bands, start=1):
                further = stream.band_tags.get(name, {})
                target.update_tags(number, **{**further, "data_source": stream.sources.get(name, "unknown")})
        return unpack(bytes(memory.getbuffer()))


def read_cog(path: str | Path, product: str, *, options: Mapping[str, str] | None = None) -> xr.Dataset:
    """Open a raster of a product lazily: physical values in memory form, named by band descriptions.

    Args:
        path: a file, or what GDAL opens as one: `/vsis3/bucket/key`.
        options: GDAL's configuration while it is open, such as the endpoint of an object store.

    Raises:
        RasterError: not a readable raster, or bands that the product does not have.
    """
    try:
        with _open(path, options) as source:
            profile, names = source.profile, source.descriptions
            band_tags = [source.tags(number) for number in source.indexes]
            tags = source.tags()
    except (RasterioError, OSError) as error:
        raise RasterError(f"{path} is not a readable GeoTIFF ({error})") from error
    unknown = [name for name in names if name is None or contracts.variable(product, name) is None]
    if unknown:
        raise RasterError(
            f"{path} should be a raster of {product!r}, with its bands named by their descriptions; "
            f"received the bands {names}"
        )
    bands = _lazy(path, options, profile)
    variables = {}
    for codes, name, described in zip(bands, names, band_tags, strict=True):
        row = contract_rows(product, (name,))[0]
        attributes: dict[str, Any] = {"data_source": described.get("data_source", "unknown")}
        if "score" in described:
            attributes["score"] = float(described["score"])
        variables[name] = (("y", "x"), codes.astype(row.disk), attributes)
    grid = Grid(profile["crs"], profile["transform"], profile["height"], profile["width"])
    return contracts.decode(xr.Dataset(variables, coords=grid.coordinates(), attrs=tags), product)


@contextmanager
def _open(path: str | Path, options: Mapping[str, str] | None) -> Iterator[Any]:
    # GDAL's own access to object stores reads ranges from many threads; rasterio's `opener` can do neither
    with rasterio.Env(**(options or {})), rasterio.open(path) as source:
        yield source


def _lazy(path: str | Path, options: Mapping[str, str] | None, profile: Mapping[str, Any]) -> da.Array:
    """Codes (bands, y, x), read by tiles."""
    shape = profile["count"], profile["height"], profile["width"]
    # one band at a time, unless the file interleaves bands by pixel, so that a tile holds them all
    bands = shape[0] if profile["interleave"] == "pixel" else 1
    chunks = da.core.normalize_chunks((bands, 2 * TILE, 2 * TILE), shape=shape)

    def read(block_info: Any) -> np.ndarray:
        (first, last), (top, bottom), (left, right) = block_info[None]["array-location"]
        window = RasterWindow(left, top, right - left, bottom - top)
        try:
            with _open(path, options) as source:
                return source.read([*range(first + 1, last + 1)], window=window)
        except (RasterioError, OSError) as error:
            raise RasterError(
                f"{path} cannot be read in rows {top}..{bottom}, columns {left}..{right} ({error.__cause__ or error}). "
                "It is damaged, or its server failed; run it again"
            ) from error

    return da.map_blocks(read, chunks=chunks, dtype=profile["dtype"], meta=np.empty((0, 0, 0), profile["dtype"]))
