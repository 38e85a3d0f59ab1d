"""Run a model over the windows of a plan, or of the plans of several scenes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from darts_core.dataflow import PoolStep, Queue
from darts_core.dataflow import Sequence as Flow
from darts_core.errors import DartsError
from darts_core.inference.device import resolve_device
from darts_core.inference.feed import PIECE_BYTES, Feed, Observe, own, plainly
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

    @property
    def is_of_large_windows(self) -> bool:
        """Whether a window is more than what is read at once."""
        return 4 * len(self.source.bands) * self.plan.window[0] * self.plan.window[1] > PIECE_BYTES

    def read(self, number: int) -> np.ndarray:
        """One window, as `Feed` gives it."""
        return own(self.source.read(self.plan[number]), False)


@dataclass(frozen=True, slots=True)
class _Coming:
    """A window on its way into the model."""

    scene: int
    work: Work
    number: int
    """In the plan."""
    read: Callable[[], np.ndarray]
    """Gives it as float32 (bands, height, width)."""

    @property
    def plan(self) -> Plan:
        return self.work.plan

    @property
    def kind(self) -> tuple[int, tuple[int, int], int]:
        """What windows that go through the model together have in common."""
        return len(self.work.source.bands), self.plan.window, self.plan.factor

    def __str__(self) -> str:
        return f"window {self.number} of the plan ({self.plan[self.number]}) of scene {self.scene}"


Predicted = tuple[int, int, torch.Tensor]
"""Number of the scene, number of the window in its plan, and (bands out, height * factor, width * factor)."""
Run = Callable[[list[_Coming]], list[Predicted]]


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

    def run(batch: list[_Coming]) -> list[Predicted]:
        made = _forward(model, batch, device=target, multiple=multiple, seed=seed, encode=encode)
        return [(one.scene, one.number, values) for one, values in zip(batch, made, strict=True)]

    batches = _batches(_coming(scenes, observe, on_cpu), 1 if on_cpu or seed is not None else batch_size)
    # torch's random numbers have one state a process, which windows beside each other would share
    cores = torch.get_num_threads() if seed is None else 1
    done, total = 0, sum(len(scene.windows) for scene in scenes)
    for predicted in _beside_each_other(run, batches, cores) if on_cpu else map(run, batches):
        yield from predicted
        done += len(predicted)
        if progress is not None:
            progress(done, total)


def _coming(scenes: Sequence[Work], observe: Observe | None, on_cpu: bool) -> Iterator[_Coming]:
    """The windows of all scenes, read ahead.

    On a CPU a large one is read by the thread that predicts it: both keep a core busy, and memory holds no more of
    them than there are cores.
    """
    for scene, work in enumerate(scenes):
        if on_cpu and work.is_of_large_windows:
            yield from (_Coming(scene, work, number, partial(work.read, number)) for number in work.windows)
            continue
        for batch in Feed(work.source, work.plan, work.windows, 1, observe):
            yield _Coming(scene, work, batch.numbers[0], partial(np.asarray, batch.windows[0]))


def _batches(windows: Iterable[_Coming], size: int) -> Iterator[list[_Coming]]:
    """Windows that follow each other and are of one kind, at most `size` together."""
    held: list[_Coming] = []
    for window in windows:
        if held and (len(held) == size or held[0].kind != window.kind):
            yield held
            held = []
        held.append(window)
    if held:
        yield held


def _beside_each_other(run: Run, batches: Iterable[list[_Coming]], cores: int) -> Iterator[list[Predicted]]:
    """As many batches at a time as there are cores, each on one thread; they come out in order.

    Threads that share one window wait for each other at every layer; with a window each they do not, and the bits do
    not depend on how many there are.
    """
    threads = torch.get_num_threads()

    def alone(batch: list[_Coming]) -> list[Predicted]:
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
    batch: Sequence[_Coming],
    *,
    device: torch.device,
    multiple: int,
    seed: int | None,
    encode: Encode | None,
) -> Sequence[torch.Tensor]:
    """One batch through the model, (bands out, height * factor, width * factor) a window, on `device`."""
    with torch.inference_mode():
        windows = [_padded(_read(one), multiple) for one in batch]
        values = windows[0][None] if len(windows) == 1 else np.stack(windows)
        inputs = torch.from_numpy(values).contiguous(memory_format=torch.channels_last).to(device, non_blocking=True)
        try:
            with nullcontext() if seed is None else seeded(device, seed, batch[0].number):
                outputs = _checked(model(inputs), inputs, batch)
        except Exception as error:
            error.add_note(f"It was in {batch[0]}")
            raise
        return (encode(outputs) if encode else outputs.contiguous()).unbind()


def _read(window: _Coming) -> np.ndarray:
    try:
        return window.read()
    except Exception as error:
        error.add_note(f"It was in {window}")
        raise


def _padded(values: np.ndarray, multiple: int) -> np.ndarray:
    short = [-size % multiple for size in values.shape[-2:]]
    if not any(short):
        return values
    return np.pad(values, ((0, 0), (0, short[0]), (0, short[1])), mode="reflect")


def _checked(outputs: torch.Tensor, inputs: torch.Tensor, batch: Sequence[_Coming]) -> torch.Tensor:
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
    rows, cols = batch[0].plan.window
    return outputs[..., : rows * factor, : cols * factor].float()
