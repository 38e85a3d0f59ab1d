"""Patches put together as today's DARTS does it, to the bit; for comparison, and for numbers that must not move.

The scene is mirrored by `reflection` pixels and one more, patches have a linear ramp on all four sides, also at the
scene's edge, and the weighted sum is divided by the sum of weights. Unlike ours this holds the whole scene.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from darts_core.inference.blocks import TILE, Block
from darts_core.inference.canvas import Valid
from darts_core.windows import Plan, Window

EDGE = 1
"""Pixels mirrored beside `reflection`: the outermost pixels of a ramp weigh nothing."""


def patch_weights(size: tuple[int, int], overlap: int) -> np.ndarray:
    """Weights of one patch, float32 (rows, columns): a ramp of `overlap` pixels from 0 to 1 on each side."""
    down, across = (_side(length, overlap) for length in size)
    return (across[None, :] * down[:, None]).numpy()


def _side(length: int, overlap: int) -> torch.Tensor:
    # torch's steps differ from NumPy's in the last bit
    ramp = min(overlap, length // 2)
    inside = torch.ones(length - 2 * ramp)
    return torch.cat([torch.linspace(0, 1, ramp), inside, torch.linspace(1, 0, ramp)])


def blend(patches: Iterable[tuple[int, torch.Tensor]], plan: Plan, margin: int) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean of patches, summed in the order in which they come.

    Args:
        patches: number in the plan, and values (1, height, width).
        plan: over the scene with its margin.
        margin: pixels to cut off on each side.

    Returns:
        float32 (rows, columns) of the scene, 0 where no patch came; and the sums of weights that were divided by,
        with the margin still on and 1 where nothing has a weight.
    """
    total = np.zeros((plan.height, plan.width), np.float32)
    weights = np.zeros_like(total)
    weight = patch_weights(plan.window, plan.overlap)
    for number, values in patches:
        window = plan[number]
        total[window.rows, window.cols] += values[0].cpu().numpy() * weight
        weights[window.rows, window.cols] += weight
    weights[weights == 0] = 1
    mean = total / weights
    return mean[margin : plan.height - margin, margin : plan.width - margin], weights


def blocks(patches: Iterable[tuple[int, torch.Tensor]], plan: Plan, margin: int, valid: Valid) -> Iterator[Block]:
    """As `blend`, tile row by tile row, with NaN where `valid` says that the scene is not usable."""
    mean, _ = blend(patches, plan, margin)
    for row in range(0, len(mean), TILE):
        part = mean[row : row + TILE]
        usable = valid(Window(row, 0, *part.shape))
        yield Block(row, 0, np.where(usable, part, np.float32(np.nan))[None])
