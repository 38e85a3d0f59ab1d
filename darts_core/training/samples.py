"""What a trained model makes of some of what it learned from: for a person to look at, and no measure of anything."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from darts_core.inference.source import DatasetSource, occupied
from darts_core.segmentation.checkpoint import load_checkpoint, restore
from darts_core.superresolution.small import read_checkpoint
from darts_core.training.segmentation import seen
from darts_core.training.superresolution import degrade
from darts_core.windows import plan

SIDE = 128
"""Pixels of a part of a scene."""


def slumps_found(checkpoint: Path, images: np.ndarray) -> np.ndarray:
    """Where a segmentation model sees slumps: bool (patch, y, x), at probability 0.5.

    Args:
        images: model input as in training patches, float (patch, band, y, x).
    """
    return seen(restore(load_checkpoint(checkpoint), checkpoint), images)


def restored(checkpoint: Path, scenes: Iterable[xr.Dataset]) -> list[np.ndarray]:
    """Of each scene a part as an upscaler sees it, what it makes of that, and as it is: each float32 (band, y, x).

    The part lies in the middle of those without nodata; a scene that has none is left out.

    Args:
        scenes: preprocessed, memory form, lazy or not.
    """
    model, config = read_checkpoint(checkpoint)
    shown: list[np.ndarray] = []
    for fine in (_part(DatasetSource(scene, config.bands), config.factor) for scene in scenes):
        if fine is not None:
            with torch.inference_mode():
                coarse = degrade(torch.from_numpy(fine)[None], config.factor)
                made = model(coarse)[0].numpy()
            shown += [coarse[0].numpy().repeat(config.factor, axis=-1).repeat(config.factor, axis=-2), made, fine]
    return shown


def _part(source: DatasetSource, factor: int) -> np.ndarray | None:
    size = min(SIDE, *source.shape) // factor * factor
    tiling = plan(*source.shape, window=(size, size), overlap=0)
    whole = [window for window in (tiling[n] for n in occupied(source, tiling)) if source.valid(window).all()]
    return source.read(whole[len(whole) // 2]) if whole else None
