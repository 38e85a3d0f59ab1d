"""Rasters as streams of rows: written as Cloud-Optimized GeoTIFF, read back lazily as datasets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dask.array as da
import numpy as np
import rasterio
import rioxarray  # noqa: F401  (registers the .rio accessor)
import xarray as xr
from rasterio.errors import RasterioError
from rasterio.shutil import copy as copy_raster
from rasterio.windows import Window as RasterWindow

from darts_core import contracts
from darts_core.contracts import ContractError, Variable
from darts_core.errors import DartsError
from darts_core.grids import Grid
from darts_core.inference.mosaic import RowBlock
from darts_core.windows import Progress

TILE = 512
"""Pixels a side of one tile of a GeoTIFF, and of one chunk when it is read."""


class RasterError(DartsError):
    """A GeoTIFF that cannot be written or read as the product it should be."""


@dataclass(frozen=True, slots=True)
class RasterStream:
    """A raster of one product whose rows are made while they are written."""

    product: str
    """The contract that names and encodes the bands."""
    bands: tuple[str, ...]
    """Variables of the product, one a band."""
    grid: Grid
    blocks: Callable[[], Iterator[RowBlock]]
    """Starts the stream: codes of `dtype` (bands, rows, width), from the first row to the last."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """The `data_source` of each band."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Further facts about the raster as a whole."""

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
    """A dataset in memory form, lazy or not, as a stream: encoded one tile row at a time.

    Raises:
        ContractError: a variable that the product does not have.
        GridError: no CRS.
    """
    bands = tuple(str(name) for name in dataset.data_vars)
    grid = Grid.of(dataset)
    rows = contract_rows(product, bands)
    sources = {name: str(dataset[name].attrs.get("data_source", "unknown")) for name in bands}

    def blocks() -> Iterator[RowBlock]:
        for start in range(0, grid.height, TILE):
            part = dataset.isel(y=slice(start, start + TILE)).compute()
            codes = [row.encode(part[row.name].transpose("y", "x").values) for row in rows]
            yield RowBlock(start, np.stack([one.astype(stream.dtype, copy=False) for one in codes]))

    stream = RasterStream(product, bands, grid, blocks, sources, tags or {})
    return stream


def write_cog(stream: RasterStream, path: Path, *, compression: str = "zstd", progress: Progress | None = None) -> Path:
    """Write a stream as a Cloud-Optimized GeoTIFF with overviews; the same stream gives the same bytes.

    Band descriptions, scale, offset, nodata and tags are set. `path` appears when the file is whole.

    Raises:
        RasterError: the stream does not give every row once, from the first to the last.
    """
    path = Path(path)
    with TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
        plain, cloud = Path(folder, "plain.tif"), Path(folder, "cloud.tif")
        _write_plain(stream, plain, progress)
        copy_raster(
            plain,
            cloud,
            driver="COG",
            BLOCKSIZE=TILE,
            COMPRESS=compression,
            PREDICTOR="YES",
            RESAMPLING="MODE" if stream.categorical else "AVERAGE",
            NUM_THREADS="ALL_CPUS",
            BIGTIFF="IF_SAFER",
        )
        cloud.replace(path)
    return path


def _write_plain(stream: RasterStream, path: Path, progress: Progress | None) -> None:
    """A tiled GeoTIFF without compression, for the COG driver reads it more than once."""
    profile = {
        "driver": "GTiff",
        "width": stream.grid.width,
        "height": stream.grid.height,
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
        "bigtiff": "if_safer",
    }
    with rasterio.open(path, "w", **profile) as target:
        target.descriptions = stream.bands
        target.scales = tuple(row.scale or 1.0 for row in stream.rows)
        target.offsets = tuple(row.offset or 0.0 for row in stream.rows)
        target.update_tags(product=stream.product, **stream.tags)
        for number, name in enumerate(stream.bands, start=1):
            target.update_tags(number, data_source=stream.sources.get(name, "unknown"))
        written = 0
        for block in stream.blocks():
            rows = block.data.shape[1]
            if block.row != written or written + rows > stream.grid.height:
                raise RasterError(
                    f"Rows of {stream.product} come in order up to {stream.grid.height}; rows {block.row} to "
                    f"{block.row + rows} came after {written}"
                )
            target.write(block.data, window=RasterWindow(0, block.row, stream.grid.width, rows))
            written += rows
            if progress is not None:
                progress(written, stream.grid.height)
    if written < stream.grid.height:
        raise RasterError(f"{stream.product} has {stream.grid.height} rows; the stream ended after {written}")


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
        source = described.get("data_source", "unknown")
        variables[name] = (("y", "x"), codes.astype(row.disk), {"data_source": source})
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
    # all bands at once: the driver interleaves them by pixel, so that a tile holds them all
    chunks = da.core.normalize_chunks((shape[0], 2 * TILE, 2 * TILE), shape=shape)

    def read(block_info: Any) -> np.ndarray:
        _, (top, bottom), (left, right) = block_info[None]["array-location"]
        with _open(path, options) as source:
            return source.read(window=RasterWindow(left, top, right - left, bottom - top))

    return da.map_blocks(read, chunks=chunks, dtype=profile["dtype"], meta=np.empty((0, 0, 0), profile["dtype"]))
