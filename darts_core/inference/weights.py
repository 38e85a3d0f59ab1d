"""Checkpoint files, read as plain tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from darts_core.errors import DartsError


class WeightsError(DartsError):
    """A file that is not a checkpoint of plain tensors and plain values."""


def load_tensors(path: Path) -> Any:
    """What `torch.save` wrote, on the CPU; no code of the file is run.

    Raises:
        WeightsError: no such file, or not one of plain tensors and plain values.
    """
    if not path.is_file():
        raise WeightsError(f"There is no checkpoint {path}; train a model or name an existing file")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # bytes that are no checkpoint drive the unpickler into errors of any type
        raise WeightsError(
            f"{path} is not a checkpoint of plain tensors, or it is damaged: {first_line(error)}. Save "
            '{"config": …, "statedict": model.state_dict()} with torch.save'
        ) from error


def first_line(error: BaseException) -> str:
    """What an error says, without the lines that explain torch to its developers."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
