"""What a trained model makes of some of what it learned from: for a person to look at, and no measure of anything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import xarray as xr

from darts_core.inference.source import DatasetSource, occupied
from darts_core.segmentation.checkpoint import load_checkpoint, restore
from darts_core.superresolution.small import read_checkpoint
from darts_core.training.superresolution import degrade
from darts_core.windows import plan

SIDE = 128
"""Pixels of a part of a scene."""


def slumps_found(checkpoint: Path, images: np.ndarray) -> np.ndarray:
    """Where a segmentation model sees slumps: bool (patch, y, x), at probability 0.5.

    Args:
        images: model input as in training patches, float (patch, band, y, x).
    """
    model = restore(load_checkpoint(checkpoint), checkpoint).eval()
    with torch.inference_mode():
        return (model(torch.from_numpy(images).float())[:, 0] > 0).numpy()


def restored(checkpoint: Path, scene: xr.Dataset) -> list[np.ndarray]:
    """A part of a scene as an upscaler sees it, what it makes of that, and as it is: each float32 (band, y, x).

    The part lies in the middle of those without nodata; empty where there is none.

    Args:
        scene: preprocessed, memory form, lazy or not.
    """
    model, config = read_checkpoint(checkpoint)
    source = DatasetSource(scene, config.bands)
    size = min(SIDE, *source.shape) // config.factor * config.factor
    tiling = plan(*source.shape, window=(size, size), overlap=0)
    whole = [window for window in (tiling[n] for n in occupied(source, tiling)) if source.valid(window).all()]
    if not whole:
        return []
    fine = source.read(whole[len(whole) // 2])
    with torch.inference_mode():
        coarse = degrade(torch.from_numpy(fine)[None], config.factor)
        made = model(coarse)[0].numpy()
    seen = coarse[0].numpy().repeat(config.factor, axis=-1).repeat(config.factor, axis=-2)
    return [seen, made, fine]
