"""Products as plain files, for work without the store: one Zarr group or one GeoTIFF holds one product."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import xarray as xr
import zarr

from darts_core import contracts
from darts_core.datasets import write_zarr
from darts_core.errors import DartsError
from darts_core.grids import on_finest_grid
from darts_core.inference.geotiff import blocks_of, read_cog, write_cog
from darts_core.store import remove_folder

ZARR, GEOTIFF = ".zarr", ".tif"


class FileError(DartsError):
    """A file that does not hold what is expected of it, or a name that says no format."""


def write_product(dataset: xr.Dataset, path: Path, product: str) -> Path:
    """Write a product, computing what is lazy piece by piece; an earlier one at `path` is replaced when it is whole.

    Args:
        dataset: memory form of the contract `product`.
        path: ends in ``.zarr`` or ``.tif``.

    Raises:
        FileError: another ending.
        ContractError: a variable that the product does not have.
    """
    contracts.validate(dataset, product, values=False)
    if path.suffix == GEOTIFF:
        tags = {str(name): str(text) for name, text in dataset.attrs.items()}
        return write_cog(blocks_of(dataset, product, tags=tags), path)
    if path.suffix != ZARR:
        raise FileError(f"{path}: expected a name that ends in {ZARR} or {GEOTIFF}")
    hidden, older = path.with_name(f".{path.name}.part"), path.with_name(f".{path.name}.old")
    # a folder cannot take another's place in one step; a process killed between the two steps left only the older
    if older.exists() and not path.exists():
        older.rename(path)
    shutil.rmtree(hidden, ignore_errors=True)
    try:
        write_zarr(contracts.encode(dataset, product), hidden)
        if path.exists():
            path.rename(older)
        hidden.rename(path)
    finally:
        remove_folder(hidden)
    shutil.rmtree(older, ignore_errors=True)
    return path


def read_rasters(paths: Sequence[str | Path], product: str, options: Mapping[str, str] | None = None) -> xr.Dataset:
    """Rasters of one place as one lazy dataset in memory form, on the finest grid among them.

    Args:
        options: GDAL's configuration while they are open.

    Returns:
        With the attributes of the one with the most pixels, and `model_digests`, separated by commas, where they name
        the models that made them.

    Raises:
        RasterError: no rasters of the product.
        GridError: they do not cover the same area by whole pixels.
    """
    rasters = [read_cog(path, product, options=options) for path in paths]
    digests = sorted({raster.attrs["model_digest"] for raster in rasters if "model_digest" in raster.attrs})
    return on_finest_grid(rasters).assign_attrs({"model_digests": ",".join(digests)} if digests else {})


def read_product(path: Path, product: str) -> xr.Dataset:
    """Open what `write_product` wrote, or any raster whose bands are named as the contract names them. Lazy.

    Returns:
        Memory form of the contract, with the attributes that were written.

    Raises:
        FileError: nothing there, or no Zarr group.
        RasterError: no raster of the product.
        ContractError: a group that departs from the contract.
    """
    if not path.exists():
        raise FileError(f"{path} does not exist; expected the product {product!r} there")
    if path.suffix != ZARR:
        return read_cog(path, product)
    try:
        stored = xr.open_zarr(path, consolidated=False, mask_and_scale=False, decode_coords="all", chunks={})
    except (FileNotFoundError, zarr.errors.BaseZarrError) as error:
        raise FileError(f"{path} is not a Zarr group: {error}") from error
    dataset = contracts.decode(stored, product)
    contracts.validate(dataset, product, values=False)
    return dataset
