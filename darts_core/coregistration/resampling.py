"""A scene on the pixels of another raster."""

from __future__ import annotations

import math
from dataclasses import replace

import dask
import dask.array as da
import numpy as np
import xarray as xr
from affine import Affine

from darts_core.coregistration.reference import CoregistrationError
from darts_core.grids import Grid


def resample(dataset: xr.Dataset, reference: str) -> xr.Dataset:
    """`dataset` on the pixels of the raster `reference`, cut to what the dataset covers. Lazy where it is.

    Args:
        dataset: variables with the last two axes (y, x) and a CRS. Reflectance has floats with NaN or the attribute
            ``_FillValue``; integers without a scale and masks are classes.
        reference: path of a raster.

    Returns:
        The same variables and dtypes: reflectance bilinear and nodata where the scene has none, classes by the nearest
        pixel and 0 there.

    Raises:
        CoregistrationError: a band without nodata, or a scene beside the reference.
    """
    source = Grid.of(dataset)
    target = _target(source, reference)
    others = dataset.drop_vars([name for name, array in dataset.variables.items() if {"y", "x"} & set(array.dims)])
    variables = {name: _resampled(array, source, target) for name, array in dataset.data_vars.items()}
    return others.assign_coords(target.coordinates()).assign(variables)


def _target(source: Grid, reference: str) -> Grid:
    """The pixels of the reference that the source touches."""
    import rasterio
    from rasterio.warp import transform_bounds

    with rasterio.open(reference) as raster:
        own = Grid(raster.crs, raster.transform, raster.height, raster.width)
    west, north = source.transform @ (0, 0)
    east, south = source.transform @ (source.width, source.height)
    bounds = transform_bounds(source.crs, own.crs, west, south, east, north)
    (left, bottom), (right, top) = (~own.transform @ corner for corner in (bounds[:2], bounds[2:]))
    # a millionth of a pixel is the rounding of coordinates, not a further pixel
    column, row = (max(0, math.floor(edge + 1e-6)) for edge in (left, top))
    end_column, end_row = (
        min(most, math.ceil(edge - 1e-6)) for edge, most in ((right, own.width), (bottom, own.height))
    )
    if end_column <= column or end_row <= row:
        raise CoregistrationError(f"The scene lies beside the reference {reference}")
    moved = own.transform @ Affine.translation(column, row)
    return replace(own, transform=moved, height=end_row - row, width=end_column - column)


def _resampled(array: xr.DataArray, source: Grid, target: Grid) -> xr.DataArray:
    shape = (*array.shape[:-2], *target.shape)
    nodata, resampling = _rules(array)
    if array.chunks is None:
        values = _warped(array.to_numpy(), source, target, nodata, resampling)
    else:
        whole = dask.delayed(_warped)(array.data, source, target, nodata, resampling)
        values = da.from_delayed(whole, shape, array.dtype)
    result = xr.DataArray(values, dims=array.dims, attrs=array.attrs)
    result.encoding = {name: value for name, value in array.encoding.items() if name == "_FillValue"}
    return result


def _rules(array: xr.DataArray) -> tuple[float, str]:
    """Nodata and the name of the resampling."""
    if array.dtype.kind == "f":
        return float(array.attrs.get("_FillValue", np.nan)), "bilinear"
    if "scale_factor" not in array.attrs:
        return 0.0, "nearest"
    if "_FillValue" not in array.attrs:
        raise CoregistrationError(
            f"{array.name} declares no nodata, so there is no number for where the resampled scene holds none. State "
            "it in the scene's STAC Item, or shift the scene without resampling it"
        )
    return float(array.attrs["_FillValue"]), "bilinear"


def _warped(values: np.ndarray, source: Grid, target: Grid, nodata: float, resampling: str) -> np.ndarray:
    from rasterio.enums import Resampling
    from rasterio.warp import reproject

    kept = values.astype(np.uint8) if values.dtype == bool else values
    warped = np.full((*values.shape[:-2], *target.shape), nodata, kept.dtype)
    reproject(
        kept,
        warped,
        src_transform=source.transform,
        src_crs=source.crs,
        src_nodata=nodata if resampling == "bilinear" else None,
        dst_transform=target.transform,
        dst_crs=target.crs,
        dst_nodata=nodata if resampling == "bilinear" else None,
        init_dest_nodata=resampling == "bilinear",
        resampling=Resampling[resampling],
        tolerance=0,
    )
    return warped.astype(values.dtype, copy=False)
