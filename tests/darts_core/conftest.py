"""What the steps share: a small preprocessed scene."""

from collections.abc import Callable

import numpy as np
import pytest
import rioxarray  # noqa: F401
import xarray as xr
from affine import Affine

from darts_core import contracts


@pytest.fixture(scope="session")
def make_scene() -> Callable[..., xr.Dataset]:
    """A scene at 10 m with smooth random reflectance, and nodata where `invalid` says."""

    def make(height: int, width: int, *, resolution: float = 10, invalid: object = None) -> xr.Dataset:
        rng = np.random.default_rng(height * 1000 + width)
        bands = {}
        valid = np.ones((height, width), bool)
        if invalid is not None:
            valid[invalid] = False
        for row in contracts.REFLECTANCE:
            values = rng.uniform(0, 0.6, (height, width)).astype(np.float32)
            bands[row.name] = (("y", "x"), np.where(valid, values, np.float32(np.nan)))
        bands["valid_data_mask"] = (("y", "x"), valid)
        transform = Affine(resolution, 0, 500_000, 0, -resolution, 7_600_000)
        x = transform.c + (np.arange(width) + 0.5) * resolution
        y = transform.f - (np.arange(height) + 0.5) * resolution
        dataset = xr.Dataset(bands, coords={"y": y, "x": x}).rio.write_crs(32608)
        return contracts.conform(dataset, "preprocessed", "test")

    return make
