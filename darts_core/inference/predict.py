"""Run a model over the windows of a plan, or of the plans of several scenes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch

from darts_core.dataflow import PoolStep, Queue
from darts_core.dataflow import Sequence as Flow
from darts_core.errors import DartsError
from darts_core.inference.device import resolve_device
from darts_core.inference.feed import Feed, Observe, plainly
from darts_core.inference.seeding import seeded
from darts_core.inference.source import WindowSource
from darts_core.windows import Plan, Progress

Model = Callable[[torch.Tensor], torch.Tensor]
"""From float32 (batch, bands, height, width) to (batch, bands out, height * factor, width * factor)."""
Encode = Callable[[torch.Tensor], torch.Tensor]
"""From what the model returned, float32, to what is kept of it; shape and device stay."""


class PredictionError(DartsError):
    """A model that does not fit its plan, or whose result is no number."""


@dataclass(frozen=True, slots=True)
class Work:
    """The windows of one scene that are to be predicted."""

    source: WindowSource
    """Without NaN where the model cannot take it."""
    plan: Plan
    windows: Sequence[int]
    """Numbers in the plan; neighbours one after the other are read together."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A window on its way into the model."""

    scene: int
    plan: Plan
    number: int
    """In the plan."""
    values: np.ndarray
    """float32 (bands, height, width)."""

    @property
    def kind(self) -> tuple[tuple[int, ...], int]:
        """What windows that go through the model together have in common."""
        return self.values.shape, self.plan.factor

    def __str__(self) -> str:
        return f"window {self.number} of the plan ({self.plan[self.number]}) of scene {self.scene}"


Predicted = tuple[int, int, torch.Tensor]
"""Number of the scene, number of the window in its plan, and (bands out, height * factor, width * factor)."""
Run = Callable[[list[_Read]], list[Predicted]]


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
    """Predict windows of one scene, in the order in which they are asked for; arguments as for `predict_scenes`.

    Yields:
        The window's number in the plan, and (bands out, height * factor, width * factor) on `device`.
    """
    predicted = predict_scenes(
        model,
        [Work(source, plan, windows)],
        batch_size=batch_size,
        device=device,
        multiple=multiple,
        seed=seed,
        encode=encode,
        progress=progress,
        observe=observe,
    )
    return ((number, values) for _, number, values in predicted)


def predict_scenes(
    model: Model,
    scenes: Sequence[Work],
    *,
    batch_size: int = 8,
    device: str = "cpu",
    multiple: int = 1,
    seed: int | None = None,
    encode: Encode | None = None,
    progress: Progress | None = None,
    observe: Observe | None = None,
) -> Iterator[Predicted]:
    """Predict windows of several scenes one after the other; the model does not wait between two scenes.

    On a CPU the windows go through the model one by one, which is faster and makes the result the same for any batch
    size; so do those of a stochastic model. On an accelerator a batch may hold windows of two scenes.

    Args:
        model: in evaluation mode and on `device`; see `Model`.
        batch_size: windows that go through the model at once on an accelerator.
        multiple: what height and width must be a multiple of for the model; reflected pixels make it up.
        seed: of a stochastic model; each window then has random numbers of its own.
        encode: applied to each batch where it lies; by default float32 stays.
        progress: told the windows done and in all, over all scenes.
        observe: told at the end of each scene how the reading ahead fared.

    Raises:
        PredictionError: the model returns another size than the plan's factor asks for, or NaN or infinity.
        AcceleratorError: the device is not there.
        DataflowError: a window could not be read.
    """
    target = torch.device(resolve_device(device))
    on_cpu = target.type == "cpu"

    def run(batch: list[_Read]) -> list[Predicted]:
        made = _forward(model, batch, device=target, multiple=multiple, seed=seed, encode=encode)
        return [(one.scene, one.number, values) for one, values in zip(batch, made, strict=True)]

    batches = _batches(_read(scenes, observe), 1 if on_cpu or seed is not None else batch_size)
    # torch's random numbers have one state a process, which windows beside each other would share
    cores = torch.get_num_threads() if seed is None else 1
    done, total = 0, sum(len(scene.windows) for scene in scenes)
    for predicted in _beside_each_other(run, batches, cores) if on_cpu else map(run, batches):
        yield from predicted
        done += len(predicted)
        if progress is not None:
            progress(done, total)


def _read(scenes: Sequence[Work], observe: Observe | None) -> Iterator[_Read]:
    for scene, work in enumerate(scenes):
        for batch in Feed(work.source, work.plan, work.windows, 1, observe):
            yield _Read(scene, work.plan, batch.numbers[0], batch.windows[0])


def _batches(windows: Iterable[_Read], size: int) -> Iterator[list[_Read]]:
    """Windows that follow each other and are of one kind, at most `size` together."""
    held: list[_Read] = []
    for window in windows:
        if held and (len(held) == size or held[0].kind != window.kind):
            yield held
            held = []
        held.append(window)
    if held:
        yield held


def _beside_each_other(run: Run, batches: Iterable[list[_Read]], cores: int) -> Iterator[list[Predicted]]:
    """As many batches at a time as there are cores, each on one thread; they come out in order.

    Threads that share one window wait for each other at every layer; with a window each they do not, and the bits do
    not depend on how many there are.
    """
    threads = torch.get_num_threads()

    def alone(batch: list[_Read]) -> list[Predicted]:
        torch.set_num_threads(1)
        return run(batch)

    try:
        with plainly(), Flow(PoolStep(alone, cores), Queue(1)) as flow:
            flow.queue_iterable(batches)
            yield from flow
    finally:
        torch.set_num_threads(threads)


def _forward(
    model: Model,
    batch: Sequence[_Read],
    *,
    device: torch.device,
    multiple: int,
    seed: int | None,
    encode: Encode | None,
) -> Sequence[torch.Tensor]:
    """One batch through the model, (bands out, height * factor, width * factor) a window, on `device`."""
    with torch.inference_mode():
        windows = [_padded(one.values, multiple) for one in batch]
        # alone, a window is copied once only: at 1024 pixels and ten bands each copy is 42 MB
        values = windows[0][None] if len(windows) == 1 else np.stack(windows)
        inputs = torch.from_numpy(values).to(device, memory_format=torch.channels_last, non_blocking=True, copy=True)
        try:
            with nullcontext() if seed is None else seeded(device, seed, batch[0].number):
                outputs = _checked(model(inputs), inputs, batch)
        except Exception as error:
            error.add_note(f"It was in {batch[0]}")
            raise
        return (encode(outputs) if encode else outputs.contiguous()).unbind()


def _padded(values: np.ndarray, multiple: int) -> np.ndarray:
    short = [-size % multiple for size in values.shape[-2:]]
    if not any(short):
        return values
    return np.pad(values, ((0, 0), (0, short[0]), (0, short[1])), mode="reflect")


def _checked(outputs: torch.Tensor, inputs: torch.Tensor, batch: Sequence[_Read]) -> torch.Tensor:
    """What the model returned without what padding added, as float32."""
    count, _, height, width = inputs.shape
    factor = batch[0].plan.factor
    expected = height * factor, width * factor
    if outputs.ndim != 4 or len(outputs) != count or outputs.shape[-2:] != expected:
        raise PredictionError(
            f"From {count} windows of {height} x {width} the factor {factor} asks for {expected[0]} x "
            f"{expected[1]} pixels each; the model returned the shape {tuple(outputs.shape)}"
        )
    if not torch.isfinite(outputs.sum()):
        bad = [one for one, values in zip(batch, outputs, strict=True) if not torch.isfinite(values).all()]
        if bad:
            raise PredictionError(
                f"The model returned NaN or infinity in {bad[0]}, where its input holds none; try precision float32, "
                "or look at the model"
            )
    rows, cols = batch[0].values.shape[-2:]
    return outputs[..., : rows * factor, : cols * factor].float()
