"""Quality levels: 0 invalid, 1 low, 2 high, from the classification that was delivered with a scene."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import xarray as xr

from darts_core.scenes.scene import SceneError

INVALID, LOW, HIGH = np.uint8(0), np.uint8(1), np.uint8(2)

# no data, saturated | shadow, cloud (medium, high), snow | dark, vegetation, soil, water, unclassified, cirrus
_SCL_CLASSES = {INVALID: (0, 1), LOW: (3, 8, 9, 11), HIGH: (2, 4, 5, 6, 7, 10)}
_SCL_LEVELS = np.zeros(256, np.uint8)
for _level, _classes in _SCL_CLASSES.items():
    _SCL_LEVELS[list(_classes)] = _level

Array = TypeVar("Array", xr.DataArray, np.ndarray)


def quality_from_scl(scl: Array) -> Array:
    """Quality levels of a Sentinel-2 scene classification.

    Args:
        scl: uint8 classes 0..11 (Sentinel-2 Products Specification Document), any axes; may be lazy.

    Returns:
        uint8 of the same shape; {0, 1} are 0, {3, 8, 9, 11} are 1, {2, 4, 5, 6, 7, 10} are 2. What is no class is 0.
    """
    if isinstance(scl, np.ndarray):
        return _SCL_LEVELS[scl]
    return xr.apply_ufunc(_SCL_LEVELS.__getitem__, scl, dask="parallelized", output_dtypes=[np.uint8])


def quality_from_udm2(udm2: Array) -> Array:
    """Quality levels of a Planet usable data mask.

    Args:
        udm2: uint8, axes (band, y, x) with the 8 bands of UDM 2: clear, snow, shadow, light haze, heavy haze, cloud,
            confidence, UDM 1; may be lazy.

    Returns:
        uint8, axes (y, x): 0 where UDM 1 is not 0, else 1 where any of snow to cloud is 1, else 2.

    Raises:
        SceneError: another number of bands.
    """
    if udm2.ndim != 3 or udm2.shape[0] != 8:
        raise SceneError(f"Expected a usable data mask with axes (8, y, x), received the shape {udm2.shape}")
    if isinstance(udm2, np.ndarray):
        return quality_from_udm2(xr.DataArray(udm2, dims=("band", "y", "x"))).to_numpy()
    band = str(udm2.dims[0])
    flagged = (udm2.isel({band: slice(1, 6)}) == 1).any(band)
    unusable = udm2.isel({band: 7}, drop=True) != 0
    return xr.where(unusable, INVALID, xr.where(flagged, LOW, HIGH))


def quality_level(raw: xr.Dataset, valid: xr.DataArray) -> xr.DataArray:
    """Quality levels of a raw scene, by the classification that it has; high where it has none.

    Args:
        raw: as `read_scene` gives it.
        valid: bool, axes (y, x), True where every band holds data.

    Returns:
        uint8, axes (y, x); 0 wherever not valid. Lazy where `raw` is.
    """
    if "scl" in raw:
        level = quality_from_scl(raw["scl"])
    elif "udm2" in raw:
        level = quality_from_udm2(raw["udm2"])
    else:
        level = xr.full_like(valid, HIGH, dtype=np.uint8)
    return xr.where(valid, level, INVALID, keep_attrs=False).rename("quality_level")
