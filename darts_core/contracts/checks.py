"""Whether a dataset keeps to its contract; every departure is named at once."""

from __future__ import annotations

from fnmatch import fnmatchcase

import numpy as np
import xarray as xr

from darts_core.contracts.codecs import DIMENSIONS, ContractError, Variable
from darts_core.contracts.table import VARIABLES, row_of, rows_of, variable


def require_bands(dataset: xr.Dataset, bands: tuple[str, ...]) -> None:
    """Check that a scene has what a model wants.

    Raises:
        ContractError: naming the missing bands.
    """
    missing = [name for name in bands if name not in dataset or name not in VARIABLES]
    if missing:
        raise ContractError(
            f"The model wants the bands {', '.join(bands)}; the scene lacks {', '.join(missing)} "
            f"(it has {', '.join(map(str, dataset.data_vars))}). Configure the auxiliary data that the missing "
            "bands are made from, or choose a model without them"
        )


def validate(dataset: xr.Dataset, product: str, *, values: bool = True) -> None:
    """Check a dataset in memory form against its contract.

    Args:
        dataset: variables (y, x) in memory form.
        product: a key of `PRODUCTS`.
        values: also look at the range of the values, which computes a lazy dataset (once, in blocks).

    Raises:
        ContractError: with one line for every departure: a missing or unknown variable, dtype, axes,
            coordinates, CRS, nodata, a missing attribute, a value out of range.
    """
    departures = _grid_departures(dataset)
    for row in rows_of(product):
        if row.required and not any(fnmatchcase(str(name), row.name) for name in dataset.data_vars):
            departures.append(f"variable {row.name!r} is missing")
    for name, array in dataset.data_vars.items():
        found = variable(product, name)
        if found is None:
            departures.append(f"variable {name!r} is not part of the product")
        else:
            departures += [f"{name}: {text}" for text in _variable_departures(array, found)]
    if values:
        departures += _range_departures(dataset, product)
    if departures:
        lines = "".join(f"\n  - {text}" for text in departures)
        raise ContractError(f"The dataset departs from the contract of {product!r}:{lines}")


def _grid_departures(dataset: xr.Dataset) -> list[str]:
    import rioxarray  # noqa: F401

    departures = [f"coordinate {name!r} is missing" for name in DIMENSIONS if name not in dataset.coords]
    if "spatial_ref" not in dataset.coords or dataset.rio.crs is None:
        departures.append("coordinate 'spatial_ref' with a CRS is missing")
    return departures


def _variable_departures(array: xr.DataArray, row: Variable) -> list[str]:
    departures = []
    if array.dims != DIMENSIONS:
        departures.append(f"axes are {array.dims}, expected {DIMENSIONS}")
    if array.dtype != np.dtype(row.memory):
        departures.append(f"dtype is {array.dtype}, expected {row.memory}")
        return departures
    for attribute in ("data_source", "long_name", *(("units",) if row.units else ())):
        if attribute not in array.attrs:
            departures.append(f"attribute {attribute!r} is missing")
    declared = array.rio.encoded_nodata if row.memory == "float32" else array.rio.nodata
    if not _same(declared, row.nodata):
        departures.append(f"nodata is {declared}, expected {row.nodata}")
    return departures


def _range_departures(dataset: xr.Dataset, product: str) -> list[str]:
    extremes = {}
    for name, array in dataset.data_vars.items():
        row = variable(product, name)
        if row is None or row.memory == "bool" or array.dtype != np.dtype(row.memory) or array.size == 0:
            continue
        # a nodata code counts as the lowest valid value: integers stay integers
        kept = array if row.memory == "float32" or row.nodata is None else array.where(array != row.nodata, 0)
        extremes[name] = xr.concat([kept.min(), kept.max()], "extreme", coords="minimal", compat="override")
    # one pass over a lazy dataset: what two variables are made from is computed once
    computed = xr.Dataset(extremes).compute()
    return [
        f"{name}: {text}"
        for name, array in computed.data_vars.items()
        for text in _beyond(array.values, row_of(product, name))
    ]


def _beyond(extremes: np.ndarray, row: Variable) -> list[str]:
    least, most = extremes
    if not row.bounded and not row.packed:
        return []
    # reflectance may exceed the range that models see (snow, glint): what the disk can hold is the limit
    low, high = row.decode(np.array(row.codes, row.disk)) if row.packed else row.valid
    tolerance = row.scale or 0.0
    if least < low - tolerance or most > high + tolerance:
        return [f"values span {least:g}..{most:g}, expected within {low:g}..{high:g}"]
    return []


def _same(left: float | None, right: float | None) -> bool:
    if left is None or right is None:
        return left is right
    return left == right or (np.isnan(left) and np.isnan(right))
