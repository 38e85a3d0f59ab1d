"""Blend windows into the finished tiles of a raster, in memory that grows neither with its height nor its width.

Each window finishes one rectangle: from where it begins to count up to where the windows after it do. Most of that
lies under this window alone, and its codes are copied. Only in the seams codes are weighted and summed, in float32;
the sums beyond the rectangle are handed on to the next window and to the next row of windows. What is summed at a
pixel, and in which order, is a matter of the plan alone.

A raster too wide for its accumulators is made in panels, one after the other. What reaches from a window into the next
panel waits in a temporary file.
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import torch

from darts_core.errors import DartsError
from darts_core.inference.blocks import Block
from darts_core.inference.canvas import Array, Canvas, Raster, Tile, Valid, blocks
from darts_core.inference.panels import (
    ACCUMULATOR_BYTES,
    Panel,
    Span,
    col_spans,
    moved,
    panels,
    row_spans,
    visiting_order,
)
from darts_core.windows import Plan, col_weights, row_weights

__all__ = ["ACCUMULATOR_BYTES", "MosaicError", "mosaic", "panels", "visiting_order"]

Arrivals: TypeAlias = Iterator[Array | None]
"""One for each window in the order in which they are taken; None for one that did not come."""


class MosaicError(DartsError):
    """Windows that are out of order, missing, or not of the plan."""


def mosaic(
    windows: Iterable[tuple[int, torch.Tensor]],
    plan: Plan,
    bands: int,
    *,
    nodata: float | None,
    valid: Valid | None,
    dtype: np.dtype[Any] | str | None = None,
    budget: int = ACCUMULATOR_BYTES,
    spill: Path | None = None,
) -> Iterator[Block]:
    """Blend windows as they come; a tile leaves as soon as no later window can touch it.

    The bytes depend on the windows, the mask and the plan alone, not on the panels.

    Args:
        windows: number in the plan, in the order of `visiting_order`, and codes (bands, height * factor, width *
            factor): uint8, uint16, int16 or float32, all of one dtype and on one device, which is where they are
            blended. A window without a valid pixel may be left out; what it counts for is nodata.
        nodata: code of what is not usable; needed with `valid`.
        valid: bool (height, width), True = usable, of a window of the plan's grid; what is not usable there becomes
            nodata in each of its factor x factor pixels. None: everything is usable, and every window must come.
        dtype: of the codes; needed only where it may be that no window comes at all.
        budget: bytes of the accumulators of one panel; the same as for `visiting_order`.
        spill: existing folder for the temporary file; by default the system's.

    Yields:
        Tiles, each a block that owns its memory; sums of integers are rounded, half to even.

    Raises:
        MosaicError: a window out of order, of another shape, dtype or device than expected, or missing.
    """
    if valid is not None and nodata is None:
        raise MosaicError("What is not valid becomes nodata; pass the nodata code along with the mask")
    windows = iter(windows)
    first = list(islice(windows, 1))
    raster = Raster(plan, bands, *_kind(first, dtype), nodata, valid)
    order = visiting_order(plan, bands, range(len(plan)), budget=budget)
    coming = _in_order(chain(first, windows), order, raster)
    yield from blocks(_tiles(coming, raster, panels(plan, bands, budget), spill), raster)
    for _ in coming:
        pass  # nothing should be left; a window too many is refused


def _kind(
    first: Sequence[tuple[int, torch.Tensor]], dtype: np.dtype[Any] | str | None
) -> tuple[torch.dtype, torch.device]:
    """dtype and device of the mosaic: those of the first window, if one comes."""
    wanted = None if dtype is None else torch.from_numpy(np.empty(0, dtype)).dtype
    if first:
        return wanted or first[0][1].dtype, first[0][1].device
    if wanted is None:
        raise MosaicError("No window came, so that the dtype of the result is unknown; pass it as `dtype`")
    return wanted, torch.device("cpu")


def _in_order(windows: Iterable[tuple[int, torch.Tensor]], order: Sequence[int], raster: Raster) -> Arrivals:
    """Every window of the plan, checked."""
    place_of = {number: place for place, number in enumerate(order)}
    following = 0
    for number, window in windows:
        place = place_of.get(number, -1)
        if place < following:
            last = f"after {order[following - 1]}" if following else "first"
            raise MosaicError(
                f"Windows below {len(order)} come once each, in their visiting order; {number} came {last}"
            )
        if window.shape != raster.window:
            raise MosaicError(f"Window {number} should be of the shape {raster.window}; it is {tuple(window.shape)}")
        if (window.dtype, window.device) != (raster.dtype, raster.device):
            raise MosaicError(
                f"Window {number} should be {raster.dtype} on {raster.device}; it is {window.dtype} on {window.device}"
            )
        yield from _missing(order[following:place], raster)
        yield window.numpy() if raster.on_host else window
        following = place + 1
    yield from _missing(order[following:], raster)


def _missing(numbers: Sequence[int], raster: Raster) -> Arrivals:
    if numbers and raster.valid is None:
        raise MosaicError(f"Window {numbers[0]} did not come; without a mask each one has to")
    return (None for _ in numbers)


def _tiles(coming: Arrivals, raster: Raster, cut: Sequence[Panel], spill: Path | None) -> Iterator[Tile]:
    """The finished tiles, panel by panel."""
    with ExitStack() as files:
        before = files.enter_context(closing(_Spill(spill, raster)))
        for panel in cut:
            after = files.enter_context(closing(_Spill(spill, raster)))
            yield from _blend(coming, panel, raster, before, after)
            before.close()
            before = after


class _Spill:
    """What windows put aside for the next panel: columns of them in a file without a name, in the order of reading."""

    def __init__(self, folder: Path | None, raster: Raster) -> None:
        self._folder = folder
        self._raster = raster
        self._file: IO[bytes] | None = None
        self._held: deque[tuple[tuple[int, int], int, slice]] = deque()

    def write(self, place: tuple[int, int], window: Array, cols: slice) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
        self._held.append((place, self._file.tell(), cols))
        self._file.write(self._raster.fetched(window[..., cols]).data)

    def read(self, place: tuple[int, int]) -> Array | None:
        """A window of which only the columns written are filled; None where none was written."""
        if self._file is None or not self._held or self._held[0][0] != place:
            return None
        _, offset, cols = self._held.popleft()
        bands, height, width = self._raster.window
        codes = np.empty((bands, height, cols.stop - cols.start), self._raster.disk)
        self._file.seek(offset)
        self._file.readinto(codes.data)  # type: ignore[attr-defined]
        window = self._raster.empty(height, width)
        window[..., cols] = self._raster.placed(codes)
        return window

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _blend(coming: Arrivals, panel: Panel, raster: Raster, before: _Spill, after: _Spill) -> Iterator[Tile]:
    """The finished tiles of a panel."""
    plan, canvas = raster.plan, Canvas(raster, panel)
    down_weights, across_weights = (raster.placed(weights) for weights in (row_weights(plan), col_weights(plan)))
    inside = [
        (number, span)
        for number, span in enumerate(col_spans(plan))
        if span.start < panel.stop and span.end > panel.start
    ]
    held = raster.sums(0, panel.stop - panel.start)
    for row, down in enumerate(row_spans(plan)):
        above, below = _handed_on(held, down, 1, raster)
        beside = raster.sums(down.stop - down.alone, 0)
        for col, span in inside:
            across = span.clipped(panel.start, panel.stop)
            left, right = _handed_on(beside, across, 2, raster)
            window = before.read((row, col)) if span.start < panel.start else next(coming)
            if window is None:
                canvas.leave_out(down, across)
            else:
                if span.end > panel.stop:
                    after.write((row, col), window, slice(panel.stop - span.origin, span.end - span.origin))
                patch = _Patch(raster, window, down, across, down_weights[row], across_weights[col])
                under = moved(across.whole, panel.start)
                patch.add(above[..., under], down.blended, across.whole)
                patch.add(below[..., under], down.carried, across.whole)
                patch.add(left, down.single, across.blended)
                patch.add(right, down.single, across.carried)
                canvas.put(down.start, across.start, raster.codes(above[..., moved(across.finished, panel.start)]))
                canvas.put(down.alone, across.start, raster.codes(left))
                canvas.put(down.alone, across.alone, patch.at(down.single, across.single))
            yield from canvas.finished(down, across)
            beside = right
        held = below
        del above, below  # before the next row takes its own


def _handed_on(sums: Array, span: Span, axis: int, raster: Raster) -> tuple[Array, Array]:
    """Sums that begin where a span does: those that this window finishes, and the first of those after it."""

    def part(values: Array, pixels: slice) -> Array:
        return values[(slice(None),) * axis + (pixels,)]

    rest = part(sums, slice(span.alone - span.start, None))
    size = span.end - span.stop
    carried = raster.sums(size, sums.shape[2]) if axis == 1 else raster.sums(sums.shape[1], size)
    part(carried, slice(rest.shape[axis]))[...] = rest
    return part(sums, slice(span.alone - span.start)), carried


@dataclass(frozen=True, slots=True)
class _Patch:
    """A window in its place."""

    raster: Raster
    codes: Array
    down: Span
    across: Span
    down_weights: Array
    across_weights: Array

    def at(self, rows: slice, cols: slice) -> Array:
        """Codes of pixels of the result."""
        return self.codes[:, moved(rows, self.down.origin), moved(cols, self.across.origin)]

    def add(self, sums: Array, rows: slice, cols: slice) -> None:
        """Add the codes of these pixels, by their weight."""
        down, across = moved(rows, self.down.origin), moved(cols, self.across.origin)
        values = self.raster.floats(self.at(rows, cols))
        values *= self.down_weights[down, None] * self.across_weights[across]
        sums += values
