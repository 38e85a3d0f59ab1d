"""Auxiliary rasters in Zarr stores (v2 and v3): two-dimensional variables on axes y and x, or latitude and longitude.

Where they lie is told as rioxarray tells it: a grid mapping variable (``spatial_ref``) with a CRS, and evenly spaced
coordinates of pixel centres.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from darts_core.auxiliary.sources import AuxiliaryError
from darts_core.remote import filesystem, filesystem_options

if TYPE_CHECKING:
    import xarray as xr
    from affine import Affine

_AXES = (("y", "x"), ("lat", "lon"), ("latitude", "longitude"))
_EVEN = 1e-3
"""Share of a pixel by which a coordinate may miss its place."""
_DOCUMENTS = ("zarr.json", ".zmetadata", ".zgroup", ".zattrs")


def is_zarr(url: str) -> bool:
    """Whether a URL names a Zarr store."""
    return url.rstrip("/").endswith(".zarr")


def inspect(url: str, storage_options: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of the rasters in a store, as the fields of a `Raster`.

    Raises:
        AuxiliaryError: no such store, no raster in it, no CRS, or uneven coordinates.
    """
    _opened.cache_clear()  # it may have changed
    store = _open(url, storage_options)
    arrays = {str(name): array for name, array in store.data_vars.items() if array.dims in _AXES}
    if not arrays:
        found = ", ".join(f"{name} {array.dims}" for name, array in store.data_vars.items()) or "none"
        raise AuxiliaryError(f"Zarr store {url}: expected variables with the axes (y, x) or (lat, lon), found {found}")
    dims = next(iter(arrays.values())).dims
    arrays = {name: array for name, array in arrays.items() if array.dims == dims}
    crs = store.rio.crs
    if crs is None:
        raise AuxiliaryError(
            f"Zarr store {url} has no CRS: expected a grid mapping variable spatial_ref with crs_wkt, as "
            "rioxarray's write_crs makes it"
        )
    return {
        "crs": crs,
        "transform": _transform(store, dims, url),
        "height": store.sizes[dims[0]],
        "width": store.sizes[dims[1]],
        "dtypes": tuple(str(array.dtype) for array in arrays.values()),
        "nodata": tuple(_nodata(array) for array in arrays.values()),
        "names": tuple(arrays),
        "scales": tuple(float(array.attrs.get("scale_factor", 1.0)) for array in arrays.values()),
        "offsets": tuple(float(array.attrs.get("add_offset", 0.0)) for array in arrays.values()),
    }


def read(
    url: str, storage_options: Mapping[str, Any], names: Sequence[str | None], rows: slice, cols: slice
) -> np.ndarray:
    """Variables of a window, axes (variable, y, x), numbers as stored.

    Raises:
        AuxiliaryError: a chunk is damaged, or its server fails.
    """
    store = _open(url, storage_options)
    try:
        return np.stack([store[name][rows, cols].to_numpy() for name in names])
    except Exception as error:
        # each codec and each filesystem has errors of its own
        raise AuxiliaryError(
            f"Zarr store {url} cannot be read in rows {rows.start}..{rows.stop}, columns {cols.start}..{cols.stop} "
            f"({type(error).__name__}: {error}). It may be damaged, or its server failed; run it again"
        ) from error


def identity(url: str, storage_options: Mapping[str, Any]) -> str:
    """What tells one content of a store from another: its documents, and every object that the place can list.

    A plain web server lists nothing; there a store counts as changed when its root documents are.
    """
    fs, root = filesystem(url, storage_options)
    marks = []
    for name in _DOCUMENTS:
        with suppress(FileNotFoundError):
            marks.append(f"{name} {fs.cat_file(root.rstrip('/') + '/' + name)!r}")
    if not url.startswith(("http://", "https://")):
        for name, info in sorted(fs.find(root, detail=True).items()):
            mark = info.get("ETag") or info.get("mtime")
            marks.append(f"{name.removeprefix(root)} {info.get('size')} {mark}")
    if not marks:
        raise AuxiliaryError(f"Zarr store {url}: nothing there. Check the address in the auxiliary resource")
    return "\0".join(marks)


def _open(url: str, storage_options: Mapping[str, Any]) -> xr.Dataset:
    return _opened(url, tuple(sorted(storage_options.items())))


@lru_cache(maxsize=8)
def _opened(url: str, storage_options: tuple[tuple[str, Any], ...]) -> xr.Dataset:
    import rioxarray  # noqa: F401  (registers the .rio accessor)
    import xarray as xr

    options = filesystem_options(url, dict(storage_options)) or None
    try:
        with warnings.catch_warnings():
            # on stores without consolidated metadata, and grid mappings that are missing, which is told as an error
            warnings.simplefilter("ignore")
            return xr.open_zarr(url, chunks=None, mask_and_scale=False, decode_coords="all", storage_options=options)
    except Exception as error:
        # what is missing or damaged shows as errors of zarr, xarray, fsspec or the store's client
        raise AuxiliaryError(
            f"Zarr store {url} cannot be opened ({type(error).__name__}: {error}). Check the address in the "
            "auxiliary resource, or set it to null to work without this feature"
        ) from error


def _transform(store: xr.Dataset, dims: tuple[Any, ...], url: str) -> Affine:
    from affine import Affine

    (top, step_y), (left, step_x) = (_axis(store, str(dim), url) for dim in dims)
    return Affine(step_x, 0, left - step_x / 2, 0, step_y, top - step_y / 2)


def _axis(store: xr.Dataset, dim: str, url: str) -> tuple[float, float]:
    """First coordinate and step of an axis."""
    if dim not in store.coords or store.sizes[dim] < 2:
        raise AuxiliaryError(f"Zarr store {url}: expected coordinates of two pixels or more along {dim}")
    values = store[dim].to_numpy().astype(float)
    step = (values[-1] - values[0]) / (len(values) - 1)
    even = values[0] + step * np.arange(len(values))
    if step == 0 or np.abs(values - even).max() > _EVEN * abs(step):
        raise AuxiliaryError(f"Zarr store {url}: the coordinates {dim} are not evenly spaced; expected a regular grid")
    return float(values[0]), float(step)


def _nodata(array: xr.DataArray) -> float | None:
    value = array.attrs.get("_FillValue", array.attrs.get("missing_value"))
    return None if value is None else float(value)
