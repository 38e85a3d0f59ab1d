"""Datasets in the form of their contract: described, encoded for disk, decoded for work, scaled for models."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from fnmatch import fnmatchcase

import numpy as np
import xarray as xr

from darts_core.contracts.checks import require_bands
from darts_core.contracts.codecs import ContractError, Variable
from darts_core.contracts.table import VARIABLES, row_of, rows_of, variable


def conform(dataset: xr.Dataset, product: str, data_source: str | Mapping[str, str]) -> xr.Dataset:
    """A new dataset with the memory dtypes, attributes and nodata of the contract.

    Args:
        dataset: variables (y, x) with a CRS; packed variables are physical float values, NaN = nodata.
        product: a key of `PRODUCTS`.
        data_source: where the values come from; one text, or one a variable.

    Raises:
        ContractError: a variable that the product does not have.
    """
    described = {}
    for name, array in dataset.data_vars.items():
        row = variable(product, name)
        if row is None:
            raise ContractError(f"Product {product!r} has no variable {name!r}")
        source = data_source if isinstance(data_source, str) else data_source[str(name)]
        described[name] = describe(array.astype(row.memory), row, source)
    return dataset.assign(described)


def describe(array: xr.DataArray, row: Variable, data_source: str) -> xr.DataArray:
    """`array` with the attributes, nodata and grid mapping that its row asks for; values as they are."""
    import rioxarray  # noqa: F401  (registers the .rio accessor)

    kept = {name: value for name, value in array.attrs.items() if name not in _CODEC_ATTRIBUTES}
    attrs = {**kept, "long_name": row.long_name, "data_source": data_source}
    if row.units is not None:
        attrs["units"] = row.units
    bare = array.drop_encoding().assign_attrs(attrs)
    bare.attrs = attrs
    if row.nodata is not None:
        bare = bare.rio.write_nodata(row.nodata, encoded=row.memory == "float32")
    return bare


_CODEC_ATTRIBUTES = ("scale_factor", "add_offset", "_FillValue", "dtype", "grid_mapping")


def encode(dataset: xr.Dataset, product: str) -> xr.Dataset:
    """`dataset` as it goes to disk: codes of the disk dtype with CF attributes. Lazy where lazy."""
    encoded = {}
    for name, array in dataset.data_vars.items():
        row = row_of(product, name)
        codes = _apply(row.encode, array, row.disk)
        codes.attrs = {**array.attrs, **cf_attributes(row), "grid_mapping": "spatial_ref"}
        codes.encoding = {}
        encoded[name] = codes
    return dataset.assign(encoded)


def decode(dataset: xr.Dataset, product: str) -> xr.Dataset:
    """The inverse of `encode`: a dataset opened without CF decoding as physical values, in the order of the table."""
    decoded = {}
    order = [row.name for row in rows_of(product)]
    for name, array in sorted(dataset.data_vars.items(), key=lambda item: _position(order, item[0])):
        row = row_of(product, name)
        values = _apply(row.decode, array, row.memory)
        values.attrs = dict(array.attrs)
        decoded[name] = describe(values, row, array.attrs.get("data_source", "unknown"))
    return dataset.drop_vars(list(decoded)).assign(decoded)


def _position(order: list[str], name: Hashable) -> tuple[int, str]:
    ranks = [rank for rank, pattern in enumerate(order) if fnmatchcase(str(name), pattern)]
    return (ranks[0] if ranks else len(order)), str(name)


def cf_attributes(row: Variable) -> dict[str, float]:
    """The CF packing attributes of a variable on disk."""
    attributes: dict[str, float] = {}
    if row.packed:
        attributes |= {"scale_factor": float(row.scale or 1), "add_offset": float(row.offset or 0)}
    if row.nodata is not None:
        attributes["_FillValue"] = np.dtype(row.disk).type(row.nodata)
    return attributes


def _apply(function, array: xr.DataArray, dtype: str) -> xr.DataArray:  # type: ignore[no-untyped-def]
    return xr.apply_ufunc(function, array, dask="parallelized", output_dtypes=[np.dtype(dtype)])


def model_input(dataset: xr.Dataset, bands: tuple[str, ...]) -> np.ndarray:
    """What a checkpoint sees: float32 in 0..1, axes (bands, y, x) in the checkpoint's order, NaN as 0.

    Raises:
        ContractError: a band that the dataset or the contract lacks.
    """
    require_bands(dataset, bands)
    return np.stack([VARIABLES[name].normalize(dataset[name].values) for name in bands])
