"""The unfinished tiles of a mosaic, its mask, and the way of finished tiles into blocks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Any, TypeAlias

import numpy as np
import torch

from darts_core.inference.blocks import TILE, Block
from darts_core.inference.panels import Panel, Span, moved
from darts_core.windows import Plan, Window

Array: TypeAlias = Any
"""np.ndarray on the CPU, torch.Tensor on a GPU, used where both read alike.

On the CPU these pieces are so small that torch's threads would wait for each other longer than they work.
"""

Valid: TypeAlias = Callable[[Window], np.ndarray]
"""Bool (height, width), True = usable, of a window of the plan's grid."""


@dataclass(frozen=True, slots=True)
class Raster:
    """What a mosaic makes, and where."""

    plan: Plan
    bands: int
    dtype: torch.dtype
    device: torch.device
    nodata: float | None
    valid: Valid | None

    @property
    def disk(self) -> np.dtype[Any]:
        """`dtype` as NumPy has it."""
        return torch.empty(0, dtype=self.dtype).numpy().dtype

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.plan.height * self.plan.factor, self.plan.width * self.plan.factor

    @property
    def window(self) -> tuple[int, int, int]:
        """The shape of a window: bands, rows and columns."""
        return self.bands, self.plan.window[0] * self.plan.factor, self.plan.window[1] * self.plan.factor

    @property
    def on_host(self) -> bool:
        return self.device.type == "cpu"

    def sums(self, height: int, width: int) -> Array:
        """float32 (bands, height, width) of 0."""
        shape = self.bands, height, width
        return np.zeros(shape, np.float32) if self.on_host else torch.zeros(shape, device=self.device)

    def empty(self, height: int, width: int) -> Array:
        """(bands, height, width) of anything."""
        shape = self.bands, height, width
        return np.empty(shape, self.disk) if self.on_host else torch.empty(shape, dtype=self.dtype, device=self.device)

    def placed(self, values: np.ndarray) -> Array:
        """Values of the host, where the mosaic is made."""
        return values if self.on_host else torch.from_numpy(values).to(self.device)

    def fetched(self, values: Array) -> np.ndarray:
        """Values of the mosaic, contiguous on the host."""
        return np.ascontiguousarray(values if self.on_host else values.cpu().numpy())

    def floats(self, codes: Array) -> Array:
        """A copy as float32."""
        return codes.astype(np.float32) if self.on_host else codes.to(torch.float32, copy=True)

    def codes(self, sums: Array) -> Array:
        """Sums as they go into a tile: rounded, if that holds integers."""
        return sums if self.dtype.is_floating_point else sums.round()


@dataclass(frozen=True, slots=True)
class Tile:
    """A finished tile, still where it was made."""

    row: int
    col: int
    codes: Array
    """(bands, rows, cols)."""


class Canvas:
    """The tiles of one panel from their first pixel to their last, and the mask over them."""

    def __init__(self, raster: Raster, panel: Panel) -> None:
        self._raster = raster
        self._panel = panel
        self._tiles: dict[tuple[int, int], Array] = {}
        self._masks: dict[int, np.ndarray] = {}

    def put(self, row: int, col: int, values: Array) -> None:
        """Final pixels (bands, rows, cols) from (row, col) on."""
        _, height, width = values.shape
        for top, rows in _pieces(row, row + height):
            for left, cols in _pieces(col, col + width):
                part = values[:, moved(rows, row), moved(cols, col)]
                self._tile(top, left)[:, moved(rows, top), moved(cols, left)] = part

    def leave_out(self, down: Span, across: Span) -> None:
        """Make nodata of what a window counts for that did not come."""
        for top, rows in _pieces(down.start, down.end):
            area = self._area(top)
            self._mask(top)[self._coarse(rows, area.row), self._coarse(across.whole, area.col)] = False

    def finished(self, down: Span, across: Span) -> Iterator[Tile]:
        """The tiles whose last pixel this window has finished."""
        for top, rows in _pieces(down.start, down.stop):
            for left, cols in _pieces(across.start, across.stop):
                height, width = self._size(top, left)
                if rows.stop < top + height or cols.stop < left + width:
                    continue
                codes = self._tile(top, left)
                del self._tiles[top, left]
                if self._raster.valid is not None:
                    self._hide(codes, top, left)
                if cols.stop == self._panel.stop:
                    self._masks.pop(top, None)
                yield Tile(top, left, codes)

    def _size(self, top: int, left: int) -> tuple[int, int]:
        return min(TILE, self._raster.shape[0] - top), min(TILE, self._panel.stop - left)

    def _tile(self, top: int, left: int) -> Array:
        if (top, left) not in self._tiles:
            self._tiles[top, left] = self._raster.empty(*self._size(top, left))
        return self._tiles[top, left]

    def _coarse(self, pixels: slice, origin: int) -> slice:
        """The pixels of the plan's grid, counted from `origin`, that hold these of the result."""
        factor = self._raster.plan.factor
        return slice(pixels.start // factor - origin, -(-pixels.stop // factor) - origin)

    def _area(self, top: int) -> Window:
        """The pixels of the plan's grid under a row of tiles."""
        rows = self._coarse(slice(top, top + self._size(top, 0)[0]), 0)
        cols = self._coarse(slice(self._panel.start, self._panel.stop), 0)
        return Window(rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start)

    def _mask(self, top: int) -> np.ndarray:
        """Bool, True = usable, over `_area`; asked for once, for asking a lazy dataset costs more than its pixels."""
        if top not in self._masks and self._raster.valid is not None:
            self._masks[top] = np.array(self._raster.valid(self._area(top)), bool)
        return self._masks[top]

    def _hide(self, codes: Array, top: int, left: int) -> None:
        """Make nodata of the pixels of a tile that are not usable."""
        raster, factor = self._raster, self._raster.plan.factor
        _, height, width = codes.shape
        usable = self._mask(top)[:, self._coarse(slice(left, left + width), self._area(top).col)]
        if usable.all():
            return
        # all ones where a pixel stays: to choose by value takes ten times as long, for it branches
        kind = f"int{8 * raster.disk.itemsize}"
        kept = -usable.astype(kind).repeat(factor, axis=0).repeat(factor, axis=1)
        kept = raster.placed(kept[top % factor :, left % factor :][:height, :width])
        bits = codes.view(kind if raster.on_host else getattr(torch, kind))
        bits &= kept
        bits |= ~kept & np.array(raster.nodata, raster.disk).view(kind).item()


def _pieces(start: int, stop: int) -> Iterator[tuple[int, slice]]:
    """Pixels along an axis cut at the tiles: where each tile begins, and those that lie in it."""
    if start < stop:
        for origin in range(start // TILE * TILE, stop, TILE):
            yield origin, slice(max(start, origin), min(stop, origin + TILE))


def blocks(tiles: Iterable[Tile], raster: Raster) -> Iterator[Block]:
    """Finished tiles as arrays of the host; from a GPU, the copy of one runs while the next ones are blended."""
    if raster.device.type != "cuda":
        for tile in tiles:
            yield Block(tile.row, tile.col, raster.fetched(tile.codes))
        return
    pinned = cycle([torch.empty(raster.bands * TILE * TILE, dtype=raster.dtype, pin_memory=True) for _ in range(2)])
    side = torch.cuda.Stream(raster.device)
    under_way: deque[tuple[torch.cuda.Event, Block]] = deque()
    for tile in tiles:
        if len(under_way) == 2:
            yield _landed(*under_way.popleft())
        target = next(pinned)[: tile.codes.numel()].view(tile.codes.shape)
        side.wait_stream(torch.cuda.current_stream(raster.device))
        with torch.cuda.stream(side):
            target.copy_(tile.codes, non_blocking=True)
            tile.codes.record_stream(side)
            under_way.append((side.record_event(), Block(tile.row, tile.col, target.numpy())))
    while under_way:
        yield _landed(*under_way.popleft())


def _landed(copied: torch.cuda.Event, block: Block) -> Block:
    """A block of its own, out of the pinned buffer that the next one uses."""
    copied.synchronize()
    return Block(block.row, block.col, block.data.copy())
