"""Digital numbers as reflectance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from darts_core.contracts import REFLECTANCE, VARIABLES, Variable
from darts_core.grids import pixelwise

_ANY_BAND = REFLECTANCE[0]
"""All reflectance is stored alike; this says how for a band that no product holds and only an index is made from."""


@dataclass(frozen=True, slots=True)
class Packing:
    """How the numbers of a band become reflectance: number * scale + offset."""

    scale: float
    offset: float = 0.0
    nodata: np.generic | None = None
    """Of the numbers' dtype; None where every number counts."""

    @classmethod
    def of(cls, attrs: Mapping[Any, Any]) -> Packing:
        """From the CF attributes `scale_factor`, `add_offset` and `_FillValue`."""
        return cls(attrs["scale_factor"], attrs.get("add_offset", 0.0), attrs.get("_FillValue"))

    def held(self, numbers: np.ndarray) -> np.ndarray:
        """bool of the same shape: True = data. Numbers that are not finite are never data."""
        held = np.isfinite(numbers) if numbers.dtype.kind == "f" else np.ones(numbers.shape, bool)
        if self.nodata is not None:
            held &= numbers != self.nodata
        return held

    def reflectance(self, numbers: np.ndarray, row: Variable) -> np.ndarray:
        """float32 of the same shape, NaN where no data, clipped to what `row` can store."""
        values = numbers.astype(np.float32)
        values *= np.float32(self.scale)
        values += np.float32(self.offset)
        np.clip(values, *row.decode(np.array(row.codes, row.disk)), out=values)
        values[~self.held(numbers)] = np.nan
        return values


def reflectance(raw: xr.Dataset, names: Iterable[str]) -> xr.Dataset:
    """Surface or top-of-atmosphere reflectance of these bands.

    Args:
        raw: digital numbers, axes (y, x), with the CF attributes of their packing.
        names: of bands of `raw`.

    Returns:
        Each band: float32, NaN where the digital number is the declared nodata or not finite, clipped
        to what the product can store (-0.0999..6.4535). A digital number of 0 that is not declared nodata is data.
    """

    def band(numbers: xr.DataArray, row: Variable) -> xr.DataArray:
        packing = Packing.of(numbers.attrs)
        return pixelwise(lambda block: packing.reflectance(block, row), numbers, dtype="float32")

    # coordinates of the bands only: quality layers may have an axis of their own
    return xr.Dataset({name: band(raw[name], VARIABLES.get(name, _ANY_BAND)) for name in names})
