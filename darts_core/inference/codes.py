"""The disk codec of the contracts on tensors, where the model left them."""

from __future__ import annotations

from collections.abc import Callable

import torch

from darts_core.contracts import Variable

STEP = 64 * 1024
"""Pixels that a CPU takes through all steps before the next ones, so that they stay in its cache."""


def encoder(row: Variable) -> Callable[[torch.Tensor], torch.Tensor]:
    """What `row.encode` does to an array, for float32 tensors without NaN: codes of the disk dtype.

    Values beyond the codes are clipped to them, so that no prediction turns into nodata. The tensor is overwritten.

    Raises:
        ContractError: a variable that is not packed.
    """
    low, high = row.codes
    offset, scale = float(row.offset or 0.0), float(row.scale or 1.0)
    dtype = getattr(torch, row.disk)

    def encode(values: torch.Tensor) -> torch.Tensor:
        values = values.contiguous()
        codes = torch.empty(values.shape, dtype=dtype, device=values.device)
        step = STEP if values.device.type == "cpu" else max(values.numel(), 1)
        for part, coded in zip(values.view(-1).split(step), codes.view(-1).split(step), strict=True):
            coded.copy_(part.sub_(offset).div_(scale).round_().clamp_(low, high))
        return codes

    return encode
