"""Checkpoint files, read as plain tensors."""

from __future__ import annotations

import re
from pathlib import Path, PosixPath
from typing import Any

import numpy as np
import torch
from numpy._core.multiarray import scalar as _numpy_scalar

from darts_core.errors import DartsError


class WeightsError(DartsError):
    """A file that is not a checkpoint of plain tensors and plain values."""


HARMLESS: tuple[Any, ...] = (
    dict,
    (PosixPath, "pathlib.PosixPath"),
    (_numpy_scalar, "numpy._core.multiarray.scalar"),
    (_numpy_scalar, "numpy.core.multiarray.scalar"),
    np.dtype,
    np.dtypes.Float32DType,
    np.dtypes.Float64DType,
    np.dtypes.Int64DType,
)
"""What a checkpoint may hold beside tensors and plain values: all of these only hold values.

DARTS's checkpoints have bands that became a `dict` by a call, and Lightning's have paths among the hyperparameters.
"""


def load_tensors(path: Path) -> Any:
    """What `torch.save` wrote, on the CPU; no code of the file is run, beyond that of `HARMLESS`.

    Raises:
        WeightsError: no such file, or not one of plain tensors and plain values.
    """
    if not path.is_file():
        raise WeightsError(f"There is no checkpoint {path}; train a model or name an existing file")
    try:
        with torch.serialization.safe_globals(list(HARMLESS)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # bytes that are no checkpoint drive the unpickler into errors of any type
        foreign = re.search(r"Unsupported (?:global|class|operand)\W*(?:GLOBAL )?([\w.]+)", str(error), re.IGNORECASE)
        reason = f"it asks for {foreign[1]}, and code of a checkpoint is never run" if foreign else first_line(error)
        raise WeightsError(
            f"{path} is not a checkpoint of plain tensors, or it is damaged: {reason}. Save "
            '{"config": …, "statedict": model.state_dict()} with torch.save'
        ) from error


def first_line(error: BaseException) -> str:
    """What an error says, without the lines that explain torch to its developers."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
