"""Run a model over the windows of a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np
import torch

from darts_core.errors import DartsError
from darts_core.inference.device import resolve_device
from darts_core.inference.source import ReadAhead, WindowSource, occupied
from darts_core.windows import Plan, Progress

Model = Callable[[torch.Tensor], torch.Tensor]
"""From float32 (batch, bands, height, width) to (batch, bands out, height * factor, width * factor)."""


class PredictionError(DartsError):
    """A model that does not fit its plan."""


def predict(
    model: Model,
    source: WindowSource,
    plan: Plan,
    *,
    windows: Sequence[int] | None = None,
    batch_size: int = 8,
    device: str = "cpu",
    multiple: int = 1,
    progress: Progress | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Predict windows in the order of the plan.

    Args:
        model: in evaluation mode and on `device`; see `Model`.
        source: without NaN where the model cannot take it.
        windows: ascending numbers in the plan; by default every window with a valid pixel.
        multiple: what height and width must be a multiple of for the model; reflected pixels make it up.

    Yields:
        The window's number in the plan, and float32 (bands out, height * factor, width * factor).

    Raises:
        PredictionError: the model returns another size than the plan's factor asks for.
        AcceleratorError: the device is not there.
    """
    chosen = occupied(source, plan) if windows is None else windows
    target = torch.device(resolve_device(device))
    reader = ReadAhead(source)
    size = plan.window[0] * plan.factor, plan.window[1] * plan.factor
    done = 0
    for batch in _batches(chosen, batch_size):
        values = np.stack([reader.read(plan[number]) for number in batch])
        predictions = _forward(model, _padded(values, multiple), target)[..., : size[0], : size[1]]
        if predictions.ndim != 4 or predictions.shape[-2:] != size:
            raise PredictionError(
                f"From a window of {plan.window[0]} x {plan.window[1]} the factor {plan.factor} asks for "
                f"{size[0]} x {size[1]} pixels; the model returned the shape {predictions.shape}"
            )
        done += len(batch)
        if progress is not None:
            progress(done, len(chosen))
        yield from zip(batch, predictions, strict=True)


def _batches(numbers: Sequence[int], size: int) -> Iterator[list[int]]:
    remaining = iter(numbers)
    while batch := list(islice(remaining, size)):
        yield batch


def _padded(values: np.ndarray, multiple: int) -> np.ndarray:
    short = [-size % multiple for size in values.shape[-2:]]
    if not any(short):
        return values
    return np.pad(values, ((0, 0), (0, 0), (0, short[0]), (0, short[1])), mode="reflect")


def _forward(model: Model, values: np.ndarray, device: torch.device) -> np.ndarray:
    with torch.inference_mode():
        inputs = torch.from_numpy(values).to(device, memory_format=torch.channels_last)
        return model(inputs).float().cpu().numpy()
