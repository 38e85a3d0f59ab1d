"""Connected objects of a mask and erosion of masks, without holding the whole of a large scene.

An object is kept as its runs: the stretches of True along the rows. Finding them reads the mask once, strip by strip;
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


@dataclass(frozen=True)
class Objects:
    """The connected objects of a mask, numbered from 0 in the order of their first pixel, row by row."""

    mask: xr.DataArray
    """bool, axes (y, x)."""
    count: int
    """How many objects."""
    starts: np.ndarray
    """int64 (run,), ascending: where each run starts, as row * (width + 1) + column."""
    ends: np.ndarray
    """int64 (run,): one past the last pixel of each run. The column more keeps the runs of two rows apart."""
    owners: np.ndarray
    """int64 (run,): the object that each run belongs to."""

    @property
    def first_pixels(self) -> tuple[np.ndarray, np.ndarray]:
        """(rows, columns) of the first pixel of each object, int64 (count,)."""
        _, first = np.unique(self.owners, return_index=True)
        return np.divmod(self.starts[first], self._stride)

    def count_pixels(self, where: xr.DataArray | None = None) -> np.ndarray:
        """int64 (count,): pixels of each object, or only those in a bool array on the same grid."""
        if where is None:
            return self._sums(self.owners, self.ends - self.starts)
        pixels = np.zeros(self.count, np.int64)
        for rows in strips_of(self.mask):
            mask, chosen = _values(rows, self.mask, where)
            starts, ends = _runs(mask & chosen, rows.start)
            inside = np.searchsorted(self.starts, starts, side="right") - 1
            pixels += self._sums(self.owners[inside], ends - starts)
        return pixels

    def keep(self, chosen: np.ndarray) -> xr.DataArray:
        """The mask with only the chosen objects; `chosen` is bool (count,). Lazy where the mask is."""
        height, width = self.mask.shape
        kept = chosen[self.owners]
        starts, ends = self.starts[kept], self.ends[kept]
        if self.mask.chunks is None:
            return self.mask.copy(data=_painted(starts, ends, 0, height, width))
        import dask.array as da

        def block(block_info: Any) -> np.ndarray:
            top, bottom = block_info[None]["array-location"][0]
            some = slice(*np.searchsorted(starts, [top * self._stride, bottom * self._stride]))
            return _painted(starts[some], ends[some], top, bottom, width)

        rows = (self.mask.chunksizes["y"], (width,))
        painted = da.map_blocks(block, chunks=rows, dtype=bool, meta=np.empty((0, 0), bool))
        return self.mask.copy(data=painted.rechunk(self.mask.chunks))

    def walk(self, *arrays: xr.DataArray) -> Iterator[tuple[slice, np.ndarray, np.ndarray, list[np.ndarray]]]:
        """For each strip: its rows, the positions in it of the pixels of all objects (row * width + column), the
        object of each of these pixels, and the values of the arrays at them."""
        for rows in strips_of(self.mask):
            some = slice(*np.searchsorted(self.starts, [rows.start * self._stride, rows.stop * self._stride]))
            lengths = self.ends[some] - self.starts[some]
            row, column = np.divmod(self.starts[some], self._stride)
            begin = (row - rows.start) * (self._stride - 1) + column
            places = np.arange(lengths.sum()) + np.repeat(begin - (np.cumsum(lengths) - lengths), lengths)
            values = [block.ravel()[places] for block in _values(rows, *arrays)]
            yield rows, places, np.repeat(self.owners[some], lengths), values

    @property
    def _stride(self) -> int:
        return int(self.mask.sizes["x"]) + 1

    def _sums(self, owners: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        # bincount adds weights as float64, which holds every count of pixels exactly
        return np.bincount(owners, weights=lengths, minlength=self.count).astype(np.int64)


def label_objects(mask: xr.DataArray, connectivity: int) -> Objects:
    """Find the connected objects of a bool array with axes (y, x), strip by strip.

    Args:
        mask: bool, dask-backed or not.
        connectivity: 4: pixels that share an edge; 8: also those that share a corner.
    """
    found = [_runs(_values(rows, mask)[0], rows.start) for rows in strips_of(mask)]
    starts, ends = (np.concatenate([np.empty(0, np.int64), *side]) for side in zip(*found, strict=True))
    owners = _connected(starts, ends, mask.sizes["x"] + 1, connectivity)
    return Objects(mask, int(owners.max(initial=-1)) + 1, starts, ends, owners)


def strips_of(array: xr.DataArray) -> tuple[slice, ...]:
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


def _runs(mask: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends of the runs of True in a band of rows that begins at row `top`, in the order of reading."""
    height, width = mask.shape
    flat = np.zeros(height * (width + 1) + 1, bool)
    flat[1:].reshape(height, width + 1)[:, :width] = mask
    # a False stands before the first pixel and after each row, so that starts and ends alternate
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + top * (width + 1)
    return edges[::2], edges[1::2]


def _connected(starts: np.ndarray, ends: np.ndarray, stride: int, connectivity: int) -> np.ndarray:
    """For each run the number of its object, 0.. in the order of their first runs."""
    from scipy import sparse

    reach = 1 if connectivity == 8 else 0
    # the runs below a run are neighbours in the list: from the first that ends behind its start ...
    first = np.searchsorted(ends, starts + stride - reach, side="right")
    # ... to the last that starts before its end
    last = np.searchsorted(starts, ends + stride + reach, side="left")
    touched = last - first
    upper = np.repeat(np.arange(len(starts)), touched)
    lower = np.arange(touched.sum()) + np.repeat(first - (np.cumsum(touched) - touched), touched)
    graph = sparse.coo_array((np.ones(len(upper), bool), (upper, lower)), shape=(len(starts), len(starts)))
    _, component = sparse.csgraph.connected_components(graph, directed=False)
    _, begins, inverse = np.unique(component, return_index=True, return_inverse=True)
    rank = np.empty(len(begins), np.int64)
    rank[np.argsort(begins)] = np.arange(len(begins))
    return rank[inverse]


def _painted(starts: np.ndarray, ends: np.ndarray, top: int, bottom: int, width: int) -> np.ndarray:
    """bool (bottom - top, width): True in the runs, which all lie in these rows."""
    steps = np.zeros((bottom - top) * (width + 1), np.int8)
    offset = top * (width + 1)
    steps[starts - offset] = 1
    steps[ends - offset] = -1
    inside = np.add.accumulate(steps, dtype=np.int8, out=steps).view(bool)
    return np.ascontiguousarray(inside.reshape(bottom - top, width + 1)[:, :width])
