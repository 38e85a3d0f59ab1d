"""The ensemble: what several models say together, and how far they disagree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from darts_core import contracts
from darts_core.errors import DartsError
from darts_core.grids import pixelwise

PREFIX = "probabilities-"


class EnsembleError(DartsError):
    """There is nothing to combine."""


def ensemble(probabilities: xr.Dataset) -> xr.Dataset:
    """Mean and spread over models, pixel by pixel. Lazy where the input is.

    Args:
        probabilities: one variable ``probabilities-<model>`` a model: float32 0..1, axes (y, x), NaN = nodata.
            Other variables are not looked at.

    Returns:
        The product `ensemble`: `probabilities`, the mean over the models that hold data, and `spread`, their
        population standard deviation (0 where one model holds data); NaN where none does. The attribute `models`
        lists the models in their order.

    Raises:
        EnsembleError: no such variable.
    """
    members = [array for name, array in probabilities.data_vars.items() if str(name).startswith(PREFIX)]
    names = [str(array.name).removeprefix(PREFIX) for array in members]
    if not members:
        raise EnsembleError(
            f"{probabilities.attrs.get('scene', 'The scene')}: expected variables {PREFIX}<model>, received "
            f"{', '.join(map(str, probabilities.data_vars)) or 'none'}. Segment the scene with a model first"
        )
    combined = xr.Dataset(
        {
            "probabilities": pixelwise(_mean, *members, dtype="float32"),
            "spread": pixelwise(_spread, *members, dtype="float32"),
        }
    )
    described = contracts.conform(combined, "ensemble", f"mean of {', '.join(names)}")
    described.attrs = {**probabilities.attrs, "models": names}
    contracts.validate(described, "ensemble", values=False)
    return described


def _mean(*members: np.ndarray) -> np.ndarray:
    return _mean_of_held(members, [~np.isnan(member) for member in members]).astype(np.float32)


def _spread(*members: np.ndarray) -> np.ndarray:
    held = [~np.isnan(member) for member in members]
    mean = _mean_of_held(members, held)
    return np.sqrt(_mean_of_held([(member - mean) ** 2 for member in members], held)).astype(np.float32)


def _mean_of_held(members: Sequence[np.ndarray], held: Sequence[np.ndarray]) -> np.ndarray:
    """float64 mean over the members that hold data in a pixel, NaN where none does."""
    total = np.zeros(members[0].shape)
    for member, data in zip(members, held, strict=True):
        np.add(total, member, out=total, where=data)
    count = np.sum(held, axis=0)
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
