"""Run a model over the windows of a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext

import numpy as np
import torch

from darts_core.dataflow import PoolStep, Queue
from darts_core.dataflow import Sequence as Flow
from darts_core.errors import DartsError
from darts_core.inference.device import resolve_device
from darts_core.inference.feed import Batch, Feed, Observe, plainly
from darts_core.inference.seeding import seeded
from darts_core.inference.source import WindowSource
from darts_core.windows import Plan, Progress

Model = Callable[[torch.Tensor], torch.Tensor]
"""From float32 (batch, bands, height, width) to (batch, bands out, height * factor, width * factor)."""
Encode = Callable[[torch.Tensor], torch.Tensor]
"""From what the model returned, float32, to what is kept of it; shape and device stay."""


Run = Callable[[Batch], tuple[list[int], list[torch.Tensor]]]


class PredictionError(DartsError):
    """A model that does not fit its plan, or whose result is no number."""


def predict(
    model: Model,
    source: WindowSource,
    plan: Plan,
    *,
    windows: Sequence[int],
    batch_size: int = 8,
    device: str = "cpu",
    multiple: int = 1,
    seed: int | None = None,
    encode: Encode | None = None,
    progress: Progress | None = None,
    observe: Observe | None = None,
) -> Iterator[tuple[int, torch.Tensor]]:
    """Predict windows, in the order in which they are asked for.

    Args:
        model: in evaluation mode and on `device`; see `Model`.
        source: without NaN where the model cannot take it.
        windows: numbers in the plan; neighbours one after the other are read together.
        batch_size: windows that go through the model at once on an accelerator; see `forward`.
        multiple: what height and width must be a multiple of for the model; reflected pixels make it up.
        seed: of a stochastic model; each window then has random numbers of its own.
        encode: applied to each batch where it lies; by default float32 stays.
        observe: told at the end how the reading ahead fared.

    Yields:
        The window's number in the plan, and (bands out, height * factor, width * factor) on `device`.

    Raises:
        PredictionError: the model returns another size than the plan's factor asks for, or NaN or infinity.
        AcceleratorError: the device is not there.
        DataflowError: a window could not be read.
    """
    target = torch.device(resolve_device(device))

    def run(batch: Batch) -> tuple[list[int], list[torch.Tensor]]:
        return batch.numbers, forward(model, batch, plan, device=target, multiple=multiple, seed=seed, encode=encode)

    on_cpu = target.type == "cpu"
    feed = Feed(source, plan, windows, 1 if on_cpu else batch_size, observe)
    # torch's random numbers have one state a process, which windows beside each other would share
    cores = torch.get_num_threads() if seed is None else 1
    done = 0
    for numbers, predicted in _beside_each_other(run, feed, cores) if on_cpu else map(run, feed):
        yield from zip(numbers, predicted, strict=True)
        done += len(numbers)
        if progress is not None:
            progress(done, len(windows))


def _beside_each_other(run: Run, feed: Iterable[Batch], cores: int) -> Iterator[tuple[list[int], list[torch.Tensor]]]:
    """As many batches at a time as there are cores, each on one thread; they come out in order.

    Threads that share one window wait for each other at every layer; with a window each they do not, and the bits do
    not depend on how many there are.
    """
    threads = torch.get_num_threads()

    def alone(batch: Batch) -> tuple[list[int], list[torch.Tensor]]:
        torch.set_num_threads(1)
        return run(batch)

    try:
        with plainly(), Flow(PoolStep(alone, cores), Queue(1)) as flow:
            flow.queue_iterable(feed)
            yield from flow
    finally:
        torch.set_num_threads(threads)


def forward(
    model: Model,
    batch: Batch,
    plan: Plan,
    *,
    device: torch.device,
    multiple: int = 1,
    seed: int | None = None,
    encode: Encode | None = None,
) -> list[torch.Tensor]:
    """One batch through the model: (bands out, height * factor, width * factor) a window, on `device`.

    On a CPU the windows of a batch go through the model one by one, which is faster and makes the result the same for
    any batch size; so do those of a stochastic model.
    """
    together = len(batch.numbers) if device.type != "cpu" and seed is None else 1
    results: list[torch.Tensor] = []
    with torch.inference_mode():
        for start in range(0, len(batch.numbers), together):
            numbers = batch.numbers[start : start + together]
            values = np.stack([_padded(one, multiple) for one in batch.windows[start : start + together]])
            inputs = torch.from_numpy(values).to(device, memory_format=torch.channels_last, non_blocking=True)
            try:
                with nullcontext() if seed is None else seeded(device, seed, numbers[0]):
                    outputs = _checked(model(inputs), inputs, numbers, plan)
            except Exception as error:
                error.add_note(f"It was in window {numbers[0]} of the plan, {plan[numbers[0]]}")
                raise
            results += (encode(outputs) if encode else outputs.contiguous()).unbind()
    return results


def _padded(values: np.ndarray, multiple: int) -> np.ndarray:
    short = [-size % multiple for size in values.shape[-2:]]
    if not any(short):
        return values
    return np.pad(values, ((0, 0), (0, short[0]), (0, short[1])), mode="reflect")


def _checked(outputs: torch.Tensor, inputs: torch.Tensor, numbers: Sequence[int], plan: Plan) -> torch.Tensor:
    """What the model returned without what padding added, as float32."""
    count, _, height, width = inputs.shape
    expected = height * plan.factor, width * plan.factor
    if outputs.ndim != 4 or len(outputs) != count or outputs.shape[-2:] != expected:
        raise PredictionError(
            f"From {count} windows of {height} x {width} the factor {plan.factor} asks for {expected[0]} x "
            f"{expected[1]} pixels each; the model returned the shape {tuple(outputs.shape)}"
        )
    if not torch.isfinite(outputs.sum()):
        bad = [number for number, one in zip(numbers, outputs, strict=True) if not torch.isfinite(one).all()]
        if bad:
            raise PredictionError(
                f"The model returned NaN or infinity in window {bad[0]} of the plan ({plan[bad[0]]}), where its input "
                "holds none; try precision float32, or look at the model"
            )
    return outputs[..., : plan.window[0] * plan.factor, : plan.window[1] * plan.factor].float()
