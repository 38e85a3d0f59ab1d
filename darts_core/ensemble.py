"""The ensemble: what several models say together, and how far they disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import xarray as xr
from scipy.special import entr

from darts_core import contracts
from darts_core.errors import DartsError
from darts_core.grids import pixelwise
from darts_core.segmentation.parameters import EnsembleParameters, Weighting

PREFIX = "probabilities-"


class EnsembleError(DartsError):
    """There is nothing to combine."""


def ensemble(probabilities: xr.Dataset, parameters: EnsembleParameters | None = None) -> xr.Dataset:
    """Weighted mean of models, how far they are apart and how undecided they are, pixel by pixel. Lazy where lazy.

    Args:
        probabilities: one variable ``probabilities-<model>`` a model: float32 0..1, axes (y, x), NaN = nodata; its
            attribute ``score`` is that of the model. Other variables are not looked at.

    Returns:
        The product `ensemble`, each over the models that hold data in a pixel and NaN where none does:
        `probabilities`, the mean; `spread`, the population standard deviation (0 where one model holds data); and
        `entropy`, -p log2 p - (1 - p) log2 (1 - p) of the mean p, in bits. The attribute `models` lists the models
        in their order, and `weights` how much each counts.

    Raises:
        EnsembleError: no such variable, a weight of a model that is not there, a model without score that is
            weighed by it, or weights that are all 0.
    """
    members = {
        str(name).removeprefix(PREFIX): array
        for name, array in probabilities.data_vars.items()
        if str(name).startswith(PREFIX)
    }
    scene = probabilities.attrs.get("scene", "The scene")
    if not members:
        raise EnsembleError(
            f"{scene}: expected variables {PREFIX}<model>, received "
            f"{', '.join(map(str, probabilities.data_vars)) or 'none'}. Segment the scene with a model first"
        )
    weights = _weights(members, parameters or EnsembleParameters(), str(scene))
    kept = [(array, weight) for array, weight in zip(members.values(), weights, strict=True) if weight > 0]
    arrays, counted = zip(*kept, strict=True)
    statistics = {"probabilities": _mean, "spread": _spread, "entropy": _entropy}
    combined = xr.Dataset(
        {
            name: pixelwise(partial(statistic, counted), *arrays, dtype="float32")
            for name, statistic in statistics.items()
        }
    )
    described = contracts.conform(combined, "ensemble", f"mean of {', '.join(members)}")
    described.attrs = {**probabilities.attrs, "models": list(members), "weights": weights}
    contracts.validate(described, "ensemble", values=False)
    return described


def _weights(members: Mapping[str, xr.DataArray], parameters: EnsembleParameters, scene: str) -> list[float]:
    """The weight of each member, in their order."""
    unknown = [name for name in parameters.weights if name not in members]
    if unknown:
        raise EnsembleError(f"{scene}: weights are given for {', '.join(unknown)}; the models are {', '.join(members)}")
    given = dict(parameters.weights)
    if parameters.weighting is Weighting.SCORE:
        scored = {name: array.attrs["score"] for name, array in members.items() if "score" in array.attrs}
        lacking = [name for name in members if name not in scored and name not in given]
        if lacking:
            raise EnsembleError(
                f"{scene}: the checkpoint of {', '.join(lacking)} holds no score to weigh it by; give it one, give "
                "weights, or let all models count the same"
            )
        given = {**scored, **given}
    weights = [float(given.get(name, 1.0)) for name in members]
    if not any(weights):
        raise EnsembleError(f"{scene}: every one of the models {', '.join(members)} weighs 0")
    return weights


def _mean(weights: Sequence[float], *members: np.ndarray) -> np.ndarray:
    return _mean_of_held(members, weights).astype(np.float32)


def _spread(weights: Sequence[float], *members: np.ndarray) -> np.ndarray:
    mean = _mean_of_held(members, weights)
    return np.sqrt(_mean_of_held([(member - mean) ** 2 for member in members], weights)).astype(np.float32)


def _entropy(weights: Sequence[float], *members: np.ndarray) -> np.ndarray:
    mean = _mean_of_held(members, weights)
    # rounding may carry a sum of weights beyond 1
    certain = np.clip(mean, 0, 1)
    return np.asarray((entr(certain) + entr(1 - certain)) / np.log(2), np.float32)


def _mean_of_held(members: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """float64 weighted mean over the members that hold data in a pixel, NaN where none does."""
    total, count = np.zeros(members[0].shape), np.zeros(members[0].shape)
    for member, weight in zip(members, weights, strict=True):
        held = ~np.isnan(member)
        total += weight * np.where(held, member, 0)
        count += weight * held
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
