"""Where a scene holds data, and where that data is good."""

from __future__ import annotations

import numpy as np
import xarray as xr

from darts_core.grids import pixelwise

HIGH_QUALITY = 2
"""The quality level of clear, undisturbed observations (0 invalid, 1 low, 2 high)."""


def valid_mask(reflectance: xr.Dataset) -> xr.DataArray:
    """bool, axes (y, x): True where every band holds data (reflectance is not NaN)."""
    bands = [band.notnull() for band in reflectance.data_vars.values()]
    return pixelwise(lambda *held: np.logical_and.reduce(held), *bands, dtype="bool")


def quality_mask(quality_level: xr.DataArray) -> xr.DataArray:
    """bool, axes (y, x): True where the observation is of high quality."""
    return quality_level == HIGH_QUALITY
