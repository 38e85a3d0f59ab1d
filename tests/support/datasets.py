"""Small datasets in contract form."""

import numpy as np
import rioxarray  # noqa: F401  (registers the .rio accessor)
import xarray as xr

from darts_core.contracts import PRODUCTS, conform


def preprocessed_dataset(
    seed: int = 0, shape: tuple[int, int] = (40, 30), crs: str = "EPSG:32608", resolution: float = 10.0
) -> xr.Dataset:
    """A scene with every variable of the contract, random within range, a corner of nodata."""
    rng = np.random.default_rng(seed)
    height, width = shape
    variables = {}
    for row in PRODUCTS["preprocessed"]:
        low, high = row.valid
        values = rng.uniform(low, high, shape).astype(row.memory)
        if row.memory == "float32":
            values[:3, :4] = np.nan
        variables[row.name] = (("y", "x"), values)
    axes = {
        "y": 7_480_000 - (np.arange(height) + 0.5) * resolution,
        "x": 490_000 + (np.arange(width) + 0.5) * resolution,
    }
    dataset = xr.Dataset(variables, axes, {"scene": "T08WMA_20210821T210019_S2A"}).rio.write_crs(crs)
    return conform(dataset.rio.write_transform(), "preprocessed", "random numbers")
