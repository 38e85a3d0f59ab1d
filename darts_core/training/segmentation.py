"""Train a segmentation model from scratch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import segmentation_models_pytorch as smp
import torch
import xarray as xr

from darts_core.evaluation.metrics import Confusion
from darts_core.segmentation.checkpoint import CheckpointConfig, build_model, save_checkpoint
from darts_core.segmentation.parameters import Input
from darts_core.training.fitting import FitParameters, Learner, TrainedModel, fit, recorded, seed_everything
from darts_core.training.parameters import TrainSegmentationParameters
from darts_core.training.patches import IGNORE, TrainingError
from darts_core.windows import Progress


class _SlumpLearner(Learner):
    """Cross-entropy and Dice, each over the pixels that count."""

    def __init__(self, model: torch.nn.Module, parameters: FitParameters) -> None:
        super().__init__(model, parameters)
        self.cross_entropy = smp.losses.SoftBCEWithLogitsLoss(ignore_index=IGNORE)
        self.dice = smp.losses.DiceLoss(mode="binary", ignore_index=IGNORE)

    def loss(self, *batch: torch.Tensor) -> torch.Tensor:
        image, mask = batch
        logits = self.model(image)
        truth = mask[:, None]
        return self.cross_entropy(logits, truth) + self.dice(logits, truth)


def train_segmentation(
    patches: xr.Dataset,
    parameters: TrainSegmentationParameters,
    folder: Path,
    *,
    device: str = "cpu",
    progress: Progress | None = None,
) -> TrainedModel:
    """Train on the patches of `make_training_patches`; write `<name>.pt` and its metrics, `<name>.json`, to `folder`.

    Returns:
        The checkpoint, with precision, recall, f1 and iou on the validation patches at probability 0.5, and
        the loss of the first and the last tenth of the steps.

    Raises:
        TrainingError: no patch to learn from or none to validate with.
        CheckpointError: an architecture or encoder that does not exist.
    """
    held = patches.validation.values
    if held.all() or not held.any():
        raise TrainingError(
            f"Expected patches for training and for validation; received {int((~held).sum())} and {int(held.sum())}. "
            "Make more patches: smaller ones, or from more scenes"
        )
    seed_everything(parameters.seed)
    config = _config(patches, parameters)
    model = build_model(config, "The training").to(memory_format=torch.channels_last)
    image, mask = patches.image.values, patches.mask.values
    losses = fit(_SlumpLearner(model, parameters), (image[~held], mask[~held]), parameters, device, progress)
    path = folder / f"{parameters.name}.pt"
    scores = _validate(model, image[held], mask[held], parameters.batch_size).scores()
    save_checkpoint(model, config.model_copy(update={"score": scores.f1}), path)
    tenth = max(1, len(losses) // 10)
    first, last = float(np.mean(losses[:tenth])), float(np.mean(losses[-tenth:]))
    return recorded(TrainedModel(path, {**scores.model_dump(), "loss_first": first, "loss_last": last}))


def _config(patches: xr.Dataset, parameters: TrainSegmentationParameters) -> CheckpointConfig:
    depth = len(parameters.decoder_channels)
    return CheckpointConfig(
        model_framework="smp",
        model={
            "arch": parameters.arch,
            "encoder_name": parameters.encoder_name,
            "encoder_depth": depth,
            "decoder_channels": list(parameters.decoder_channels),
            "in_channels": len(patches.attrs["bands"]),
            "classes": 1,
        },
        input_combination=list(patches.attrs["bands"]),
        patch_size=parameters.inference_patch_size,
        input=Input(patches.attrs["input"]),
        name=parameters.name,
    )


def _validate(model: torch.nn.Module, image: np.ndarray, mask: np.ndarray, batch_size: int) -> Confusion:
    total = Confusion(0, 0, 0, 0)
    for start in range(0, len(image), batch_size):
        truth = mask[start : start + batch_size]
        total += Confusion.of(seen(model, image[start : start + batch_size]), truth == 1, truth != IGNORE)
    return total


def seen(model: torch.nn.Module, images: np.ndarray) -> np.ndarray:
    """Where a model sees slumps, at probability 0.5: bool (patch, y, x), of model input (patch, band, y, x)."""
    with torch.inference_mode():
        return (model(torch.from_numpy(images).float())[:, 0] > 0).numpy()
