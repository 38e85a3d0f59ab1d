"""Train the small upscaler on scenes themselves, by Wald's protocol."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch.nn import functional

from darts_core.contracts import REFLECTANCE
from darts_core.inference.source import DatasetSource, occupied
from darts_core.superresolution.interpolation import Interpolation
from darts_core.superresolution.small import UpscalerConfig, save_upscaler
from darts_core.superresolution.upscalers import interpolation
from darts_core.training.fitting import FitParameters, Learner, TrainedModel, fit, recorded, seed_everything
from darts_core.training.parameters import TrainUpscalerParameters
from darts_core.training.patches import TrainingError
from darts_core.windows import Progress, plan

_BANDS = tuple(row.name for row in REFLECTANCE)


class _UpscalerLearner(Learner):
    """Restore what degrading took away; absolute error."""

    def __init__(self, model: torch.nn.Module, parameters: FitParameters, factor: int, margin: int) -> None:
        super().__init__(model, parameters)
        self.factor, self.margin = factor, margin

    def loss(self, *batch: torch.Tensor) -> torch.Tensor:
        (fine,) = batch
        restored = self.model(degrade(fine, self.factor))
        return functional.l1_loss(_inside(restored, self.margin), _inside(fine, self.margin))


def train_upscaler(
    datasets: Sequence[xr.Dataset],
    parameters: TrainUpscalerParameters,
    folder: Path,
    *,
    device: str = "cpu",
    progress: Progress | None = None,
) -> TrainedModel:
    """Learn to restore degraded scenes and write `<name>.pt`, and its metrics as `<name>.json`, into `folder`.

    Wald et al. 1997: what the model will do from the scenes' resolution to a finer one, it learns from a coarser
    one to theirs, where the truth is known.

    Args:
        datasets: preprocessed scenes, memory form, lazy or not.

    Returns:
        The checkpoint, with `psnr` and `psnr_bicubic` in decibels on patches kept for validation, for reflectance
        1 as peak, and `beats_bicubic` (1 or 0).

    Raises:
        TrainingError: fewer than two patches without nodata.
    """
    seed_everything(parameters.seed)
    fine = _fine_patches(datasets, parameters)
    held = max(1, round(len(fine) * parameters.validation_share))
    config = UpscalerConfig(_BANDS, parameters.factor, parameters.channels, parameters.depth, parameters.name)
    model = config.build()
    margin = model.reach * parameters.factor
    if 2 * margin >= parameters.patch_size:
        raise TrainingError(
            f"A model that looks {model.reach} pixels far needs patches of more than {2 * margin} fine pixels; "
            f"received patch_size {parameters.patch_size}"
        )
    fit(_UpscalerLearner(model, parameters, parameters.factor, margin), (fine[held:],), parameters, device, progress)
    path = folder / f"{parameters.name}.pt"
    save_upscaler(model, config, path)
    bicubic = interpolation(Interpolation.BICUBIC, parameters.factor).module
    learned, plain = (psnr(one, fine[:held], parameters.factor, margin) for one in (model, bicubic))
    metrics = {"psnr": learned, "psnr_bicubic": plain, "beats_bicubic": float(learned > plain)}
    return recorded(TrainedModel(path, metrics))


def _fine_patches(datasets: Sequence[xr.Dataset], parameters: TrainUpscalerParameters) -> np.ndarray:
    """Patches without nodata, float32 (patch, bands, y, x), shuffled; none overlaps another."""
    size = parameters.patch_size - parameters.patch_size % parameters.factor
    found = []
    for dataset in datasets:
        source = DatasetSource(dataset, _BANDS)
        height, width = (length - length % size for length in source.shape)
        if not (height and width):
            continue
        tiling = plan(height, width, window=(size, size), overlap=0)
        found += [(source, tiling[n]) for n in occupied(source, tiling) if source.valid(tiling[n]).all()]
    if len(found) < 2:
        raise TrainingError(
            f"Expected two or more patches of {size} x {size} pixels without nodata; the {len(datasets)} scenes "
            f"have {len(found)}. Give more scenes or a smaller patch_size"
        )
    chosen = np.random.default_rng(parameters.seed).permutation(len(found))[: parameters.max_patches]
    return np.stack([found[index][0].read(found[index][1]) for index in chosen])


def degrade(fine: torch.Tensor, factor: int) -> torch.Tensor:
    """The same image in pixels `factor` times larger, each the mean of its area."""
    return functional.avg_pool2d(fine, factor)


def psnr(model: torch.nn.Module, fine: np.ndarray, factor: int, margin: int) -> float:
    """Peak signal-to-noise ratio in decibels of restored against fine reflectance, `margin` pixels left out."""
    total, count = 0.0, 0
    with torch.inference_mode():
        for one in torch.from_numpy(fine).split(16):
            error = _inside(model(degrade(one, factor)) - one, margin)
            total, count = total + float(error.double().square().sum()), count + error.numel()
    return float(-10 * np.log10(max(total / count, 1e-12)))


def _inside(values: torch.Tensor, margin: int) -> torch.Tensor:
    return values[..., margin:-margin, margin:-margin] if margin else values
