"""Quality levels: 0 invalid, 1 low, 2 high, from what was delivered with a scene about its pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeVar

import numpy as np
import xarray as xr

from darts_core.scenes.scene import SceneError

INVALID, LOW, HIGH = np.uint8(0), np.uint8(1), np.uint8(2)

CLOUD_THRESHOLD = 35
"""Percent. From here on Sen2Cor speaks of cloud (SCL 8 and 9; T_CLOUD_MP of its classification parameters)."""

Array = TypeVar("Array", xr.DataArray, np.ndarray)


def _frozen(levels: np.ndarray) -> np.ndarray:
    levels.setflags(write=False)
    return levels


def _scl_levels() -> np.ndarray:
    levels = np.full(256, INVALID)
    levels[[3, 8, 9, 11]] = LOW  # shadow, cloud of medium and high probability, snow
    levels[[2, 4, 5, 6, 7, 10]] = HIGH  # dark, vegetation, soil, water, unclassified, thin cirrus
    return _frozen(levels)


def _bit_levels(bits: int, *, invalid: int, low: int) -> np.ndarray:
    """Level of every number of so many bits: invalid where it has a bit of `invalid`, else low where one of `low`."""
    numbers = np.arange(2**bits)
    return _frozen(np.where(numbers & invalid, INVALID, np.where(numbers & low, LOW, HIGH)))


_SCL_LEVELS = _scl_levels()
_UDM_LEVELS = _bit_levels(8, invalid=0b1111_1101, low=0b10)
_QA_PIXEL_LEVELS = _bit_levels(16, invalid=0b1, low=0b11_1110)
_OBSERVATION_LEVELS = _frozen(np.select([np.arange(2**16) == 0, np.arange(2**16) < 4], [INVALID, LOW], HIGH))


def quality_from_scl(scl: Array) -> Array:
    """Quality levels of a Sentinel-2 scene classification.

    Args:
        scl: uint8 classes 0..11 (Sentinel-2 Products Specification Document), any axes; may be lazy.

    Returns:
        uint8 of the same shape; {0, 1} are 0, {3, 8, 9, 11} are 1, {2, 4, 5, 6, 7, 10} are 2. What is no class is 0.
    """
    return _looked_up(_SCL_LEVELS, scl)


def quality_from_udm(udm: Array) -> Array:
    """Quality levels of a Planet unusable data mask, that of before UDM 2.

    Args:
        udm: uint8 bits (Planet, "Planet Imagery Product Specifications"), any axes; may be lazy: 0 blackfill, 1 cloud,
            2 to 7 missing or suspect data in one of the bands.

    Returns:
        uint8 of the same shape: 0 where there is blackfill or a band is suspect, else 1 where there is cloud, else 2.
    """
    return _looked_up(_UDM_LEVELS, udm)


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


def quality_from_qa_pixel(qa_pixel: Array) -> Array:
    """Quality levels of a Landsat pixel quality band.

    Args:
        qa_pixel: uint16 bits (USGS, LSDS-1328, QA_PIXEL of Landsat 8-9 Collection 2), any axes; may be lazy: 0 fill,
            1 dilated cloud, 2 cirrus, 3 cloud, 4 cloud shadow, 5 snow, 6 clear, 7 water, 8 to 15 confidences.

    Returns:
        uint8 of the same shape: 0 where fill, else 1 where any of dilated cloud to snow, else 2 (water too).
    """
    return _looked_up(_QA_PIXEL_LEVELS, qa_pixel)


def quality_from_observations(observations: Array) -> Array:
    """Quality levels of a mosaic by how many clear observations each pixel is made from.

    Args:
        observations: uint8 or uint16 counts, any axes; may be lazy.

    Returns:
        uint8 of the same shape: none is 0, one to three are 1, four and more are 2.
    """
    return _looked_up(_OBSERVATION_LEVELS, observations)


def quality_from_cloud_probability(probability: Array, threshold: int = CLOUD_THRESHOLD) -> Array:
    """Quality levels of a cloud probability.

    Args:
        probability: uint8 percent 0..100, any axes; may be lazy.
        threshold: percent, 1..100, from which on a pixel counts as cloud.

    Returns:
        uint8 of the same shape: 2 below the threshold, 1 from it on; what is no percentage is 0.

    Raises:
        SceneError: a threshold that is none.
    """
    if not 1 <= threshold <= 100:
        raise SceneError(f"Expected a cloud threshold of 1 to 100 percent, received {threshold}")
    numbers = np.arange(256)
    return _looked_up(np.select([numbers < threshold, numbers <= 100], [HIGH, LOW], INVALID), probability)


def _looked_up(levels: np.ndarray, codes: Array) -> Array:
    if isinstance(codes, np.ndarray):
        return levels[codes]
    return xr.apply_ufunc(levels.__getitem__, codes, dask="parallelized", output_dtypes=[np.uint8])


_LEVELS: Mapping[str, Callable[[xr.DataArray], xr.DataArray]] = MappingProxyType(
    {
        "scl": quality_from_scl,
        "udm": quality_from_udm,
        "udm2": quality_from_udm2,
        "qa_pixel": quality_from_qa_pixel,
        "observations": quality_from_observations,
    }
)


def quality_level(raw: xr.Dataset, valid: xr.DataArray, cloud_threshold: int = CLOUD_THRESHOLD) -> xr.DataArray:
    """Quality levels of a raw scene: the worst that any of its quality layers says, high where it has none.

    Args:
        raw: as `read_scene` gives it.
        valid: bool, axes (y, x), True where every band holds data.
        cloud_threshold: percent; see `quality_from_cloud_probability`.

    Returns:
        uint8, axes (y, x); 0 wherever not valid. Lazy where `raw` is.
    """
    levels = [level_of(raw[name]) for name, level_of in _LEVELS.items() if name in raw]
    if "cloud_probability" in raw:
        levels.append(quality_from_cloud_probability(raw["cloud_probability"], cloud_threshold))
    level = xr.full_like(valid, HIGH, dtype=np.uint8)
    for said in levels:
        level = xr.where(said < level, said, level)
    return xr.where(valid, level, INVALID, keep_attrs=False).rename("quality_level")
