"""Windows of a scene, read ahead of the model that takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import numpy as np

from darts_core.dataflow import DataflowError, PoolStep, Queue, StageStatus
from darts_core.dataflow import Sequence as Flow
from darts_core.errors import DartsError
from darts_core.inference.source import WindowSource
from darts_core.windows import Plan, Window

PIECE_BYTES = 8 * 1024**2
"""About how many bytes of float32 are read at once; up to four pieces are held."""
READERS = 2

Observe = Callable[[Sequence[StageStatus]], None]
"""Told how long each stage worked and waited."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Windows that go to the model together."""

    numbers: list[int]
    """In the plan."""
    windows: list[np.ndarray]
    """float32 (bands, height, width) each; nobody else's, and in memory with the bands of a pixel side by side."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A rectangle of a scene that is read at once, and the windows to cut from it."""

    area: Window
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Feed:
    """Batches of windows in the order of `numbers`; pieces of the scene are read ahead by threads.

    Raises:
        DataflowError: while it is iterated, where a piece could not be read.
    """

    source: WindowSource
    plan: Plan
    numbers: Sequence[int]
    batch_size: int
    observe: Observe | None = None

    def __iter__(self) -> Iterator[Batch]:
        cut = self._windows()
        while group := list(islice(cut, self.batch_size)):
            numbers, windows = zip(*group, strict=True)
            yield Batch(list(numbers), list(windows))

    def _windows(self) -> Iterator[tuple[int, np.ndarray]]:
        with plainly(), Flow(PoolStep(self._read, READERS), Queue(1)) as flow:
            flow.queue_iterable(pieces(self.plan, self.numbers, len(self.source.bands)))
            for piece, values in flow:
                shared = len(piece.numbers) > 1
                for number in piece.numbers:
                    rows, cols = self.plan[number].within(piece.area)
                    yield number, own(values[:, rows, cols], shared)
            if self.observe is not None:
                self.observe(flow.flowstatus())

    def _read(self, piece: Piece) -> tuple[Piece, np.ndarray]:
        return piece, self.source.read(piece.area)


def own(window: np.ndarray, shared: bool) -> np.ndarray:
    """A window as models want it, see `Batch`; one that is so already and shares nothing is not copied."""
    return np.array(window.transpose(1, 2, 0), order="C", copy=shared or None).transpose(2, 0, 1)


@contextmanager
def plainly() -> Iterator[None]:
    """An error of a stage that says by itself what is wrong comes out as it went in."""
    try:
        yield
    except DataflowError as error:
        cause = error.__cause__
        if isinstance(cause, DartsError):
            raise cause from cause.__cause__
        raise


def pieces(plan: Plan, numbers: Sequence[int], bands: int, budget: int = PIECE_BYTES) -> Iterator[Piece]:
    """Group windows that follow each other into rectangles of at most `budget` bytes, one window at least.

    Small windows cost more in look-ups than in bytes, and a chunk of a file should be decoded once.
    """
    held: list[int] = []
    area = Window(0, 0, 1, 1)
    for number in numbers:
        window = plan[number]
        joined = _around(area, window) if held else window
        if held and 4 * bands * joined.height * joined.width > budget:
            yield Piece(area, tuple(held))
            joined, held = window, []
        area = joined
        held.append(number)
    if held:
        yield Piece(area, tuple(held))


def _around(one: Window, other: Window) -> Window:
    row, col = min(one.row, other.row), min(one.col, other.col)
    bottom, right = max(one.rows.stop, other.rows.stop), max(one.cols.stop, other.cols.stop)
    return Window(row, col, bottom - row, right - col)
