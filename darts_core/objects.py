"""Connected objects of a mask and erosion of masks, without holding the whole of a large scene.

A mask is kept as its runs: the stretches of True along the rows. Finding them reads the mask once, strip by strip;
what follows (which runs touch, which object each belongs to, how large it is) is work on runs alone, of which there
are about a hundred times fewer than pixels, and no image of labels is ever made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

_STRIP_PIXELS = 2**22


def erode(mask: np.ndarray, radius: int, *, outside: bool = True) -> np.ndarray:
    """Binary erosion by a disk: True where no False lies within `radius` pixels (Euclidean, inclusive).

    The disk is taken apart into rows; each of its widths is grown once from the one before and used for all rows of
    that width, so the cost is linear in the radius.

    Args:
        mask: bool, axes (y, x).
        radius: pixels; 0 gives the mask.
        outside: what lies beyond the array.

    Returns:
        bool, a new array.
    """
    if radius <= 0:
        return mask.copy()
    padded = np.pad(~mask, radius, constant_values=not outside)
    height, width = mask.shape
    columns = slice(radius, radius + width)
    grown = padded[:, columns].copy()
    hit = np.zeros(mask.shape, bool)
    half_widths = np.sqrt(radius**2 - np.arange(radius + 1) ** 2).astype(int)
    for half_width in range(radius + 1):
        if half_width:
            grown |= padded[:, radius - half_width : radius - half_width + width]
            grown |= padded[:, radius + half_width : radius + half_width + width]
        for row in np.flatnonzero(half_widths == half_width):
            hit |= grown[radius - row : radius - row + height]
            hit |= grown[radius + row : radius + row + height]
    return ~hit


def erode_lazily(mask: xr.DataArray, radius: int, *, outside: bool = True) -> xr.DataArray:
    """`erode` of a bool array with axes (y, x), block by block where it is dask-backed."""
    if radius <= 0:
        return mask
    if mask.chunks is None:
        return mask.copy(data=erode(mask.values, radius, outside=outside))
    import dask.array as da

    if radius >= min(mask.shape):
        # dask refuses a halo wider than the array; what is that narrow is one block
        whole = mask.data.rechunk(-1).map_blocks(erode, radius, outside=outside, dtype=bool)
        return mask.copy(data=whole.rechunk(mask.chunks))
    eroded = da.map_overlap(erode, mask.data, radius=radius, depth=radius, boundary=outside, dtype=bool)
    return mask.copy(data=eroded)


@dataclass(frozen=True, slots=True)
class Runs:
    """The stretches of True along the rows of a mask, in the order of reading."""

    starts: np.ndarray
    """int64 (run,), ascending: where each starts, as row * (width + 1) + column."""
    ends: np.ndarray
    """int64 (run,): one past its last pixel. The column more keeps the runs of two rows apart."""
    stride: int
    """Columns of the mask, and one."""

    def where(self, chosen: np.ndarray) -> Runs:
        """Only some of them; `chosen` is bool (run,)."""
        return Runs(self.starts[chosen], self.ends[chosen], self.stride)

    def between(self, top: int, bottom: int) -> slice:
        """Those in the rows from `top` to before `bottom`."""
        return slice(*map(int, np.searchsorted(self.starts, [top * self.stride, bottom * self.stride])))

    def paint(self, like: xr.DataArray) -> xr.DataArray:
        """The mask, bool with axes (y, x), on the grid and in the chunks of `like`."""
        height, width = like.shape
        if like.chunks is None:
            return like.copy(data=self._painted(0, height))
        import dask.array as da

        def block(block_info: Any) -> np.ndarray:
            return self._painted(*block_info[None]["array-location"][0])

        chunks = (like.chunksizes["y"], (width,))
        painted = da.map_blocks(block, chunks=chunks, dtype=bool, meta=np.empty((0, 0), bool))
        return like.copy(data=painted.rechunk(like.chunks))

    def _painted(self, top: int, bottom: int) -> np.ndarray:
        some, offset = self.between(top, bottom), top * self.stride
        steps = np.zeros((bottom - top) * self.stride, np.int8)
        steps[self.starts[some] - offset] = 1
        steps[self.ends[some] - offset] = -1
        inside = np.add.accumulate(steps, dtype=np.int8, out=steps).view(bool)
        return np.ascontiguousarray(inside.reshape(bottom - top, self.stride)[:, :-1])


def runs_of(*masks: xr.DataArray) -> tuple[Runs, ...]:
    """The runs of bool arrays with axes (y, x) on one grid, which are read together, strip by strip."""
    stride = masks[0].sizes["x"] + 1
    nothing = np.empty(0, np.int64)
    found = [[(nothing, nothing)] for _ in masks]
    for rows in _strips_of(masks[0]):
        for parts, values in zip(found, _values(rows, *masks), strict=True):
            parts.append(_edges(values, rows.start * stride))
    sides = [[np.concatenate(side) for side in zip(*parts, strict=True)] for parts in found]
    return tuple(Runs(starts, ends, stride) for starts, ends in sides)


@dataclass(frozen=True, slots=True)
class Objects:
    """The connected objects of a mask, numbered from 0 in the order of their first pixel, row by row."""

    runs: Runs
    """Of the mask."""
    owners: np.ndarray
    """int64 (run,): the object that each run belongs to."""
    count: int
    """How many objects."""

    @property
    def first_pixels(self) -> tuple[np.ndarray, np.ndarray]:
        """(rows, columns) of the first pixel of each object, int64 (count,)."""
        _, first = np.unique(self.owners, return_index=True)
        return np.divmod(self.runs.starts[first], self.runs.stride)

    def owners_of(self, parts: Runs) -> np.ndarray:
        """int64: the object that each of other runs lies in, which reach over no border of an object; -1 where none."""
        if not self.count:
            return np.full(len(parts.starts), -1)
        before = np.searchsorted(self.runs.starts, parts.starts, side="right") - 1
        inside = (before >= 0) & (parts.starts < self.runs.ends[before])
        return np.where(inside, self.owners[before], -1)

    def count_pixels(self, parts: Runs | None = None) -> np.ndarray:
        """int64 (count,): pixels of each object, or only those in other runs (see `owners_of`)."""
        runs, owners = (self.runs, self.owners) if parts is None else (parts, self.owners_of(parts))
        # bincount adds weights as float64, which holds every count of pixels exactly
        pixels = np.bincount(owners + 1, weights=runs.ends - runs.starts, minlength=self.count + 1)
        return pixels[1:].astype(np.int64)

    def walk(
        self, like: xr.DataArray, *arrays: xr.DataArray
    ) -> Iterator[tuple[slice, np.ndarray, np.ndarray, list[np.ndarray]]]:
        """For each strip of the grid of `like`: its rows, the positions in it of the pixels of all objects
        (row * width + column), the object of each of these pixels, and the values of the arrays at them."""
        for rows in _strips_of(like):
            some = self.runs.between(rows.start, rows.stop)
            lengths = self.runs.ends[some] - self.runs.starts[some]
            row, column = np.divmod(self.runs.starts[some], self.runs.stride)
            begins = (row - rows.start) * (self.runs.stride - 1) + column
            places = _counted_on(begins, lengths)
            values = [block.ravel()[places] for block in _values(rows, *arrays)]
            yield rows, places, np.repeat(self.owners[some], lengths), values


def label_objects(runs: Runs, connectivity: int) -> Objects:
    """Find the connected objects of a mask.

    Args:
        runs: of the mask.
        connectivity: 4: pixels that share an edge; 8: also those that share a corner.
    """
    from scipy import sparse

    reach, below = (1 if connectivity == 8 else 0), runs.starts + runs.stride
    # the runs that touch a run from below stand beside each other: from the first that ends behind its start
    # to the last that starts before its end
    first = np.searchsorted(runs.ends, below - reach, side="right")
    touched = np.searchsorted(runs.starts, runs.ends + (runs.stride + reach), side="left") - first
    count = len(below)
    pairs = np.repeat(np.arange(count), touched), _counted_on(first, touched)
    graph = sparse.coo_array((np.ones(len(pairs[0]), bool), pairs), shape=(count, count))
    _, component = sparse.csgraph.connected_components(graph, directed=False)
    _, begins, inverse = np.unique(component, return_index=True, return_inverse=True)
    rank = np.empty(len(begins), np.int64)
    rank[np.argsort(begins)] = np.arange(len(begins))
    return Objects(runs, rank[inverse], len(begins))


def _counted_on(begins: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """For each pair the `length` numbers from `begin` on, one after the other."""
    return np.arange(lengths.sum()) + np.repeat(begins - (np.cumsum(lengths) - lengths), lengths)


def _strips_of(array: xr.DataArray) -> tuple[slice, ...]:
    """Bands of whole rows: whole chunks where the array is dask-backed, about 4 million pixels otherwise."""
    height, width = array.sizes["y"], array.sizes["x"]
    most = max(1, _STRIP_PIXELS // max(width, 1))
    if array.chunks is None:
        return tuple(slice(top, min(top + most, height)) for top in range(0, height, most))
    borders = np.concatenate([[0], np.cumsum(array.chunksizes["y"])])
    return tuple(slice(int(top), int(bottom)) for top, bottom in pairwise(borders))


def _values(rows: slice, *arrays: xr.DataArray) -> list[np.ndarray]:
    """The values of the arrays in some rows, computed together."""
    import dask

    return [np.asarray(block) for block in dask.compute(*(array.isel(y=rows).data for array in arrays))]


def _edges(mask: np.ndarray, offset: int) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends of the runs of some rows, the first of which begins at `offset`."""
    height, width = mask.shape
    flat = np.zeros(height * (width + 1) + 1, bool)
    flat[1:].reshape(height, width + 1)[:, :width] = mask
    # a False stands before the first pixel and after each row, so that starts and ends alternate
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + offset
    return edges[::2], edges[1::2]
