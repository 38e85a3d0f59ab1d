"""Tiling plans, feather weights and shards: the pure geometry under every windowed product.

A `Plan` lays overlapping windows over a grid in row-major order. Where windows overlap they are blended with weights
that are a product of one vector down and one across, so that they sum to 1 at every pixel without any weight raster.
A model with the factor f makes f x f pixels of one; `overlap` and `border` count pixels of the low-resolution grid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import overload

import numpy as np

from darts_core.errors import DartsError


class PlanError(DartsError):
    """A tiling that cannot be: empty windows, no progress, or pixels that no window covers."""


class Ramp(StrEnum):
    """How the weight of a window rises from 0 to 1 towards its inside."""

    SIGMOID = "sigmoid"
    LINEAR = "linear"
    COSINE = "cosine"
    CROP = "crop"
    """No ramp: a pixel is taken from the window in whose middle it lies the most."""


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of pixels, in pixels of the grid it lies in."""

    row: int
    """First row."""
    col: int
    """First column."""
    height: int
    """Rows."""
    width: int
    """Columns."""

    def __post_init__(self) -> None:
        if self.row < 0 or self.col < 0 or self.height < 1 or self.width < 1:
            raise PlanError(f"A window starts at or after (0, 0) and holds a pixel or more; received {self}")

    @property
    def rows(self) -> slice:
        return slice(self.row, self.row + self.height)

    @property
    def cols(self) -> slice:
        return slice(self.col, self.col + self.width)

    def contains(self, other: Window) -> bool:
        """Whether `other` lies wholly inside."""
        return (
            self.row <= other.row
            and self.col <= other.col
            and other.rows.stop <= self.rows.stop
            and other.cols.stop <= self.cols.stop
        )

    def grown(self, margin: int, height: int, width: int) -> Window:
        """The window with `margin` pixels more on every side, cut off at a grid of `height` x `width`."""
        row, col = max(self.row - margin, 0), max(self.col - margin, 0)
        bottom, right = min(self.rows.stop + margin, height), min(self.cols.stop + margin, width)
        return Window(row, col, bottom - row, right - col)

    def within(self, outer: Window) -> tuple[slice, slice]:
        """Rows and columns of this window in an array that holds `outer`."""
        row, col = self.row - outer.row, self.col - outer.col
        return slice(row, row + self.height), slice(col, col + self.width)


@dataclass(frozen=True, slots=True)
class Plan(Sequence[Window]):
    """Windows of one size over a grid, row-major; a sequence of `Window`. Made by `plan`, which checks it."""

    height: int
    """Rows of the grid."""
    width: int
    """Columns of the grid."""
    window: tuple[int, int]
    """Rows and columns of every window; at most the grid's own."""
    overlap: int
    """Pixels that neighbouring windows share at least."""
    border: int
    """Outermost pixels of a window that count for nothing where there is a neighbour."""
    ramp: Ramp
    factor: int
    """Pixels of the result along one pixel of the grid."""
    row_offsets: tuple[int, ...]
    col_offsets: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.row_offsets) * len(self.col_offsets)

    @overload
    def __getitem__(self, index: int) -> Window: ...
    @overload
    def __getitem__(self, index: slice) -> list[Window]: ...
    def __getitem__(self, index: int | slice) -> Window | list[Window]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        row, col = divmod(range(len(self))[index], len(self.col_offsets))
        return Window(self.row_offsets[row], self.col_offsets[col], *self.window)

    def __iter__(self) -> Iterator[Window]:
        return (Window(row, col, *self.window) for row in self.row_offsets for col in self.col_offsets)

    def strip(self, row: int) -> Window:
        """The full width of the grid at the window row with this number."""
        return Window(self.row_offsets[row], 0, self.window[0], self.width)


def plan(
    height: int,
    width: int,
    *,
    window: tuple[int, int],
    overlap: int,
    border: int = 0,
    ramp: Ramp = Ramp.SIGMOID,
    factor: int = 1,
) -> Plan:
    """Lay windows over a grid of `height` x `width` pixels.

    Args:
        window: rows and columns of a window; a smaller grid makes it smaller.
        overlap: pixels that neighbours share at least.
        border: outermost pixels of a window, towards a neighbour, that are not used.
        factor: pixels of the result along one pixel of the grid.

    Raises:
        PlanError: a size or factor below 1, a negative overlap or border, windows that do not advance, or an
            overlap so small beside the border that pixels stay uncovered.
    """
    if min(height, width, *window, factor) < 1:
        raise PlanError(
            f"Grid, window and factor are 1 or more; received a grid of {height} x {width}, "
            f"a window of {window[0]} x {window[1]} (rows x columns) and the factor {factor}"
        )
    if overlap < 0 or border < 0:
        raise PlanError(f"Overlap and border are 0 or more; received {overlap} and {border}")
    size = min(window[0], height), min(window[1], width)
    rows, cols = (axis_offsets(n, w, overlap) for n, w in zip((height, width), size, strict=True))
    made = Plan(height, width, size, overlap, border, ramp, factor, rows, cols)
    row_weights(made)
    col_weights(made)
    return made


def axis_offsets(length: int, window: int, overlap: int) -> tuple[int, ...]:
    """First pixels of the windows along one axis: steps of window - overlap, the last one flush with the end.

    Raises:
        PlanError: more than one window is needed, and the overlap leaves no step.
    """
    if length <= window:
        return (0,)
    if overlap >= window:
        raise PlanError(f"The overlap must be smaller than the window; received overlap {overlap} and window {window}")
    last = length - window
    return (*range(0, last, window - overlap), last)


def ramp(count: int, kind: Ramp = Ramp.SIGMOID) -> np.ndarray:
    """`count` weights that rise from 0 to 1 (float64); a single one is 0.5."""
    if count == 1:
        return np.array([0.5])
    t = np.linspace(0, 1, count)
    if kind is Ramp.LINEAR:
        return t
    if kind is Ramp.CROP:
        return np.heaviside(t - 0.5, 0.5)
    if kind is Ramp.COSINE:
        return (1 - np.cos(np.pi * t)) / 2
    rise = 1 / (1 + np.exp(-6 * (t - 0.5)))
    return (rise - rise[0]) / (rise[-1] - rise[0]) if count else rise


def row_weights(plan: Plan) -> np.ndarray:
    """Weights down the windows of each window row: float32 (window rows, window height * factor)."""
    return axis_weights(plan.row_offsets, plan.window[0], plan.overlap, plan.border, plan.factor, plan.ramp)


def col_weights(plan: Plan) -> np.ndarray:
    """Weights across the windows of each window column: float32 (window columns, window width * factor)."""
    return axis_weights(plan.col_offsets, plan.window[1], plan.overlap, plan.border, plan.factor, plan.ramp)


def axis_weights(offsets: Sequence[int], window: int, overlap: int, border: int, factor: int, kind: Ramp) -> np.ndarray:
    """One-dimensional blending weights, normalised: at every pixel the windows over it sum to 1.

    A window weighs 1, except towards a neighbour: there 0 over the outermost `border` pixels, then a ramp up
    to `overlap` pixels from the side. A side on the scene's edge has no ramp. Without a ramp two windows are cut in
    the middle of what they share, so that half the overlap, and the border at least, is left out on each side.

    Returns:
        float32 (windows, window * factor).

    Raises:
        PlanError: a pixel has no weight.
    """
    if len(offsets) > 1 and border > 0 and overlap <= 2 * border:
        raise PlanError(
            f"The overlap must exceed twice the border, or pixels stay uncovered; received overlap {overlap} "
            f"and border {border}: choose an overlap of {2 * border + 1} or more, or a smaller border"
        )
    size = window * factor
    if kind is Ramp.CROP:
        return _cut(np.array(offsets) * factor, size)
    rise = _rise(size, overlap * factor, border * factor, kind)
    weights = np.ones((len(offsets), size))
    weights[1:] *= rise
    weights[:-1] *= rise[::-1]
    total = np.zeros((offsets[-1] + window) * factor)
    for offset, weight in zip(offsets, weights, strict=True):
        total[offset * factor : offset * factor + size] += weight
    if not (total > 0).all():
        raise PlanError(
            f"Overlap {overlap} and border {border} at factor {factor} leave {int((total <= 0).sum())} rows or "
            f"columns without any weight, the first at {int(np.argmin(total > 0))}; choose a larger overlap"
        )
    for offset, weight in zip(offsets, weights, strict=True):
        weight /= total[offset * factor : offset * factor + size]
    return weights.astype(np.float32)


def _cut(starts: np.ndarray, size: int) -> np.ndarray:
    """1 where a pixel lies nearest to the middle of the window, 0 elsewhere; of two the first one has it."""
    ends = starts + size
    seams = (ends[:-1] + starts[1:] + 1) // 2
    first, stop = np.append(starts[:1], seams), np.append(seams, ends[-1:])
    places = starts[:, None] + np.arange(size)
    return ((places >= first[:, None]) & (places < stop[:, None])).astype(np.float32)


def _rise(size: int, overlap: int, border: int, kind: Ramp) -> np.ndarray:
    """The weight from a side with a neighbour inwards, in pixels of the result."""
    rise = np.ones(size)
    rise[:border] = 0
    slope = ramp(max(overlap - border, 0), kind)
    rise[border : border + len(slope)] = slope[: max(size - border, 0)]
    return rise


@dataclass(frozen=True, slots=True)
class Shard:
    """A contiguous band of window rows, written and committed as one."""

    name: str
    first: int
    """Number of its first window in the plan."""
    stop: int
    """Number after its last window."""

    @property
    def windows(self) -> range:
        return range(self.first, self.stop)


SHARD_BYTES = 256 * 1024**2


def shards(plan: Plan, bytes_per_window: int, target: int = SHARD_BYTES) -> tuple[Shard, ...]:
    """Cut a plan into bands of whole window rows of about `target` bytes, at least one row each."""
    across, rows = len(plan.col_offsets), len(plan.row_offsets)
    step = max(1, round(target / (across * bytes_per_window)))
    return tuple(
        Shard(f"shard-{number:05d}", row * across, min(row + step, rows) * across)
        for number, row in enumerate(range(0, rows, step))
    )


Progress = Callable[[int, int], None]
"""Told how many of how many windows, rows or steps are done."""
