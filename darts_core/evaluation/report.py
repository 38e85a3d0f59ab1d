"""A report of how well the probabilities of a scene agree with truth."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import xarray as xr
from pydantic import BaseModel, ConfigDict

from darts_core.errors import DartsError
from darts_core.evaluation.metrics import (
    Confusion,
    ReliabilityBin,
    Scores,
    calibration_error,
    match_objects,
    reliability,
)
from darts_core.evaluation.parameters import EvaluateParameters
from darts_core.grids import Grid
from darts_core.vectors.outlines import outlines_in, slump_mask
from darts_core.windows import Window


class EvaluationError(DartsError):
    """Probabilities and truth that cannot be compared."""


class AtThreshold(BaseModel):
    """Agreement of pixels from one probability on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float
    scores: Scores


class ObjectScores(BaseModel):
    """Agreement of objects from one overlap on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    iou_threshold: float
    true_positive: int
    false_positive: int
    false_negative: int
    f1: float


class EvaluationReport(BaseModel):
    """How well probabilities agree with truth; plain values, for JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float
    pixels: int
    """Pixels that were counted."""
    slump_pixels: int
    """Of these, slumps in the truth."""
    scores: Scores
    objects: list[ObjectScores]
    sweep: list[AtThreshold]
    best_threshold: float
    """The threshold of the sweep with the highest intersection over union."""
    reliability: list[ReliabilityBin]
    calibration_error: float


def evaluate(
    probabilities: xr.DataArray,
    truth: xr.DataArray | gpd.GeoDataFrame,
    parameters: EvaluateParameters | None = None,
) -> EvaluationReport:
    """Compare probabilities with truth.

    Args:
        probabilities: float32 0..1 (y, x), NaN where there is none; such pixels do not count.
        truth: slump outlines in any CRS, or a mask (y, x) on the same grid: 1 slump, 0 none, 255 not to be counted.

    Raises:
        EvaluationError: another grid, truth without CRS, or no pixel that counts.
    """
    chosen = parameters or EvaluateParameters.model_validate({})
    values = probabilities.values
    mask = _mask(probabilities, truth)
    counted = ~np.isnan(values) & (mask != 255)
    if not counted.any():
        raise EvaluationError("No pixel holds both a probability and a truth, so there is nothing to compare")
    slump = mask == 1
    bins = reliability(values[counted], slump[counted], chosen.bins)
    sweep = [AtThreshold(threshold=at, scores=_scores(values, slump, counted, at)) for at in chosen.thresholds]
    best = max(sweep, key=lambda one: one.scores.iou, default=None)
    return EvaluationReport(
        threshold=chosen.threshold,
        pixels=int(counted.sum()),
        slump_pixels=int(slump[counted].sum()),
        scores=_scores(values, slump, counted, chosen.threshold),
        objects=_objects(values, slump, counted, chosen),
        sweep=sweep,
        best_threshold=chosen.threshold if best is None else best.threshold,
        reliability=bins,
        calibration_error=calibration_error(bins),
    )


def _mask(probabilities: xr.DataArray, truth: xr.DataArray | gpd.GeoDataFrame) -> np.ndarray:
    if isinstance(truth, xr.DataArray):
        if truth.shape != probabilities.shape:
            raise EvaluationError(
                f"The truth has the shape {truth.shape}, the probabilities {probabilities.shape}; expected one grid"
            )
        return truth.values
    if truth.crs is None:
        raise EvaluationError("The truth has no CRS; set the one it was drawn in")
    grid = Grid.of(probabilities)
    return slump_mask(outlines_in(truth, grid), Window(0, 0, *grid.shape), grid)


def _scores(values: np.ndarray, slump: np.ndarray, counted: np.ndarray, threshold: float) -> Scores:
    return Confusion.of(values >= threshold, slump, counted).scores()


def _objects(
    values: np.ndarray, slump: np.ndarray, counted: np.ndarray, chosen: EvaluateParameters
) -> list[ObjectScores]:
    matches = match_objects(
        (values >= chosen.threshold) & counted, slump & counted, chosen.iou_thresholds, chosen.min_object_pixels
    )
    return [
        ObjectScores(
            iou_threshold=threshold,
            true_positive=match.true_positive,
            false_positive=match.false_positive,
            false_negative=match.false_negative,
            f1=match.f1,
        )
        for threshold, match in zip(chosen.iou_thresholds, matches, strict=True)
    ]
