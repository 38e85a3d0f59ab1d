"""Where windows blend, and the panels in which a wide mosaic is made: pure geometry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from darts_core.inference.blocks import TILE
from darts_core.windows import Plan, col_weights, row_weights

ACCUMULATOR_BYTES = 80 * 1024**2
"""What the accumulators of one panel may take, counted for float32; codes of 16 bits take about half of it."""

ITEM = 4
"""Bytes of a pixel that are counted."""


@dataclass(frozen=True, slots=True)
class Span:
    """What one window counts for along one axis, in pixels of the result: start <= alone <= stop <= end."""

    origin: int
    """Where the window begins."""
    start: int
    """Its first pixel with weight; before it, only windows before it count."""
    alone: int
    """From here to `stop` it is the only window with weight, and that is 1."""
    stop: int
    """Where the next window begins to count: all before is finished with this window."""
    end: int
    """After its last pixel with weight."""

    def clipped(self, first: int, last: int) -> Span:
        """What of it lies between two pixels."""
        return Span(self.origin, *(min(max(at, first), last) for at in (self.start, self.alone, self.stop, self.end)))

    @property
    def blended(self) -> slice:
        """Pixels that it finishes together with windows before it."""
        return slice(self.start, self.alone)

    @property
    def single(self) -> slice:
        """Pixels of its own."""
        return slice(self.alone, self.stop)

    @property
    def finished(self) -> slice:
        """Pixels that no later window counts for."""
        return slice(self.start, self.stop)

    @property
    def carried(self) -> slice:
        """Pixels that windows after it finish."""
        return slice(self.stop, self.end)

    @property
    def whole(self) -> slice:
        """Pixels that it counts for."""
        return slice(self.start, self.end)


def moved(pixels: slice, origin: int) -> slice:
    """The same pixels in an array that begins at `origin`."""
    return slice(pixels.start - origin, pixels.stop - origin)


def row_spans(plan: Plan) -> tuple[Span, ...]:
    """The spans of the window rows, from the top down."""
    return _spans(plan.row_offsets, row_weights(plan), plan.factor)


def col_spans(plan: Plan) -> tuple[Span, ...]:
    """The spans of the window columns, from left to right."""
    return _spans(plan.col_offsets, col_weights(plan), plan.factor)


def _spans(offsets: Sequence[int], weights: np.ndarray, factor: int) -> tuple[Span, ...]:
    # no window is without weight and there is no hole between two, for `plan` refuses what leaves a pixel uncovered
    counted = [np.flatnonzero(weight)[[0, -1]] for weight in weights]
    origins = [offset * factor for offset in offsets]
    starts = [origin + int(first) for origin, (first, _) in zip(origins, counted, strict=True)]
    ends = [origin + int(last) + 1 for origin, (_, last) in zip(origins, counted, strict=True)]
    stops = [*starts[1:], ends[-1]]
    alone = [min(max(start, before), stop) for start, before, stop in zip(starts, [0, *ends], stops, strict=False)]
    return tuple(map(Span, origins, starts, alone, stops, ends))


@dataclass(frozen=True, slots=True)
class Panel:
    """Whole tile columns of a raster that are blended together from top to bottom."""

    start: int
    """First column of the result, a multiple of `TILE`."""
    stop: int
    """Column after the last one: a multiple of `TILE`, or the raster's width."""
    nbytes: int
    """What its accumulators take at most, at `ITEM` bytes a pixel; the height of the raster does not matter."""


def panels(plan: Plan, bands: int, budget: int = ACCUMULATOR_BYTES) -> tuple[Panel, ...]:
    """Panels that fit in `budget` bytes each, or are one tile wide.

    They part where windows reach over the least, for that is what waits in a file for the next panel.
    """
    rows, cols = row_spans(plan), col_spans(plan)
    fixed, per_column = _cost(plan, bands, rows, cols)
    width = plan.width * plan.factor
    tiles = -(-width // TILE)
    widest = max(1, int((budget - fixed) / (per_column * TILE)))
    edges = [min(tile * TILE, width) for tile in _parted(cols, tiles, widest)]
    return tuple(Panel(start, stop, fixed + round(per_column * (stop - start))) for start, stop in pairwise(edges))


PANEL_COLUMNS = TILE // 8
"""A panel more is worth it where it saves the temporary file this many columns."""


def _parted(cols: Sequence[Span], tiles: int, widest: int) -> list[int]:
    """Where panels of no more than `widest` tiles begin, and the end."""
    best = [(0, 0)]
    """Up to each tile: the least that panels cost, and where the last one begins."""
    for tile in range(1, tiles + 1):
        cost = _reaching_over(cols, tile * TILE) + PANEL_COLUMNS
        best.append(min((best[begin][0] + cost, begin) for begin in range(max(0, tile - widest), tile)))
    edges = [tiles]
    while edges[0] > 0:
        edges.insert(0, best[edges[0]][1])
    return edges


def _reaching_over(cols: Sequence[Span], place: int) -> int:
    """Columns beyond `place` of the windows that begin before it."""
    return sum(one.end - place for one in cols if one.start < place < one.end)


def _cost(plan: Plan, bands: int, rows: Sequence[Span], cols: Sequence[Span]) -> tuple[int, float]:
    """Bytes of a panel, and bytes of each of its columns: unfinished tiles, sums in the seams, and the mask."""
    size = min(TILE, plan.height * plan.factor), min(TILE, plan.width * plan.factor)
    # above each other where a window finishes pixels; one elsewhere
    more = (max(map(_touched, rows)) - 1) * max(map(_touched, cols))
    beside = max(one.stop - one.alone for one in rows) * _carried(cols)
    fixed = bands * ITEM * (more * size[0] * size[1] + beside)
    strips = max(map(_touched, rows)) + 1
    mask = strips * (size[0] / plan.factor + 2) / plan.factor
    return fixed, bands * ITEM * (size[0] + _carried(rows)) + mask


def _touched(span: Span) -> int:
    """How many tiles lie along the pixels that a window finishes."""
    return -(-span.stop // TILE) - span.start // TILE


def _carried(spans: Sequence[Span]) -> int:
    """Pixels along an axis whose sums are kept at once: those handed on to a window, and those that it hands on."""
    before = [max(one.end - two.start, 0) for one, two in pairwise(spans)]
    own = [one.end - one.stop for one in spans]
    return max(a + b for a, b in zip([0, *before], own, strict=True))


def visiting_order(plan: Plan, bands: int, numbers: Iterable[int], *, budget: int = ACCUMULATOR_BYTES) -> list[int]:
    """Windows in the order in which `mosaic` takes them: panel by panel, in a panel row-major.

    A window belongs to the panel in which it begins to count.

    Args:
        bands: of the result.
        numbers: numbers in the plan, each once, in any order.
        budget: that of `mosaic`.
    """
    cut = panels(plan, bands, budget)
    panel_of = [next(place for place, panel in enumerate(cut) if one.start < panel.stop) for one in col_spans(plan)]
    return sorted(numbers, key=lambda number: (panel_of[number % len(panel_of)], number))
