"""The evaluation of a model on whole scenes, with what it was trained on left out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import geopandas as gpd
import numpy as np
import xarray as xr
from pydantic import BaseModel, ConfigDict

from darts_core.evaluation.parameters import EvaluateParameters
from darts_core.evaluation.report import EvaluationReport, evaluate
from darts_core.segmentation.segmenter import Segmenter

FILE = "evaluation.json"


class ModelEvaluation(BaseModel):
    """How good a model is on each scene; plain values, for JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    digest: str
    """sha256 of its checkpoint."""
    scenes: dict[str, EvaluationReport]
    left_out: list[str]
    """Scenes of which training saw every pixel."""


def evaluate_scenes(
    segmenter: Segmenter,
    scenes: Mapping[str, tuple[xr.Dataset, xr.Dataset]],
    truth: gpd.GeoDataFrame,
    patches: xr.Dataset,
    parameters: EvaluateParameters,
    folder: Path,
) -> ModelEvaluation:
    """Segment each scene, compare what training did not see with the truth, and write `evaluation.json`.

    Args:
        scenes: preprocessed scene and its super-resolved reflectance, by key.
        truth: slump outlines in any CRS, complete where the scenes are.
        patches: what the model was trained on.
        folder: existing folder for the report.

    Raises:
        ContractError: a scene lacks a band of the model.
    """
    reports, left_out = {}, []
    for key, (native, finer) in scenes.items():
        probabilities = segmenter.inference(native, finer)[segmenter.variable]
        unseen = without_trained(probabilities, patches, key)
        if unseen.isnull().all():
            left_out.append(key)
        else:
            reports[key] = evaluate(unseen, truth, parameters)
    made = ModelEvaluation(model=segmenter.name, digest=segmenter.digest, scenes=reports, left_out=left_out)
    (folder / FILE).write_text(made.model_dump_json(indent=1))
    return made


def without_trained(probabilities: xr.DataArray, patches: xr.Dataset, scene: str) -> xr.DataArray:
    """Probabilities (y, x) on the grid of the patches, NaN in every pixel of a training patch of this scene."""
    known = list(patches.attrs["scenes"])
    if scene not in known:
        return probabilities
    ours = (patches.scene.values == known.index(scene)) & ~patches.validation.values
    seen = np.zeros(probabilities.shape, bool)
    size = patches.sizes["y"]
    for row, col in zip(patches.row.values[ours], patches.col.values[ours], strict=True):
        seen[row : row + size, col : col + size] = True
    return probabilities.where(~seen)
