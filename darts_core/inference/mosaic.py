"""Blend windows into finished rows, holding one window row at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from darts_core.errors import DartsError
from darts_core.windows import Plan, Window, col_weights, row_weights

Encode = Callable[[np.ndarray], np.ndarray]
"""From blended float32 (bands, rows, width) with NaN for nodata to what is stored; shape kept."""

BLOCK_ROWS = 256
"""Rows of a block at most, so that what is encoded at once stays small."""


class MosaicError(DartsError):
    """Windows that are out of order or not of the plan."""


@dataclass(frozen=True, slots=True)
class RowBlock:
    """Finished rows of a raster over its full width."""

    row: int
    """First row."""
    data: np.ndarray
    """(bands, rows, width)."""


def mosaic(
    windows: Iterable[tuple[int, np.ndarray]],
    plan: Plan,
    bands: int,
    *,
    valid: Callable[[Window], np.ndarray] | None = None,
    encode: Encode | None = None,
) -> Iterator[RowBlock]:
    """Blend windows as they come; rows leave as soon as no later window can touch them.

    A pixel under a window that did not come is nodata, for windows are left out where nothing is valid.

    Args:
        windows: number in the plan, ascending, and (bands, height * factor, width * factor).
        valid: bool (height, width), True = usable, of a window of the plan's grid; what is not usable there
            becomes nodata in each of its factor x factor pixels.
        encode: turns blended values into what is stored; by default float32 with NaN for nodata stays.

    Raises:
        MosaicError: a window out of order, or of the wrong shape.
    """
    factor, across = plan.factor, len(plan.col_offsets)
    down, weights = row_weights(plan), col_weights(plan)
    held = np.zeros((bands, plan.window[0] * factor, plan.width * factor), np.float32)
    coming = _checked(windows, plan, held.shape)
    following = (*plan.row_offsets[1:], plan.height)
    number, values = next(coming)
    for row, (offset, stop) in enumerate(zip(plan.row_offsets, following, strict=True)):
        for col, start in enumerate(plan.col_offsets):
            part = held[:, :, start * factor : (start + plan.window[1]) * factor]
            if number == row * across + col:
                part += values * (down[row][:, None] * weights[col])
                number, values = next(coming)
            else:
                part[:] = np.nan
        yield from _finish(held, plan, Window(offset, 0, stop - offset, plan.width), valid, encode)
        _advance(held, (stop - offset) * factor)


def _checked(
    windows: Iterable[tuple[int, np.ndarray]], plan: Plan, held: tuple[int, ...]
) -> Iterator[tuple[int, np.ndarray]]:
    """The windows, each one checked, and behind them one that no number in the plan equals."""
    expected = held[0], held[1], plan.window[1] * plan.factor
    last = -1
    for number, values in windows:
        if not last < number < len(plan):
            raise MosaicError(f"Windows come in ascending order below {len(plan)}; {number} came after {last}")
        if values.shape != expected:
            raise MosaicError(f"Window {number} should be of the shape {expected}; it is {values.shape}")
        last = number
        yield number, values
    yield len(plan), np.empty(0, np.float32)


def _finish(
    held: np.ndarray,
    plan: Plan,
    area: Window,
    valid: Callable[[Window], np.ndarray] | None,
    encode: Encode | None,
) -> Iterator[RowBlock]:
    """The first rows of what is held, masked and encoded; `area` is where they lie in the plan's grid."""
    factor = plan.factor
    step = max(1, BLOCK_ROWS // factor)
    for top in range(0, area.height, step):
        part = Window(area.row + top, 0, min(step, area.height - top), area.width)
        rows = slice(top * factor, (top + part.height) * factor)
        values = held[:, rows].copy()
        if valid is not None:
            values[:, ~upsampled(valid(part), factor)] = np.nan
        yield RowBlock(part.row * factor, values if encode is None else encode(values))


def upsampled(mask: np.ndarray, factor: int) -> np.ndarray:
    """Each pixel of (y, x) as factor x factor pixels."""
    return mask.repeat(factor, axis=0).repeat(factor, axis=1)


def _advance(held: np.ndarray, finished: int) -> None:
    """Drop finished rows from the front; the rows behind what is left start empty."""
    kept = max(held.shape[1] - finished, 0)
    for top in range(0, kept, BLOCK_ROWS):
        stop = min(top + BLOCK_ROWS, kept)
        held[:, top:stop] = held[:, finished + top : finished + stop].copy()
    held[:, kept:] = 0
