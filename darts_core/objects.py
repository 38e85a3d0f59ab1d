"""Connected objects of a mask and erosion of masks, without holding the whole of a large scene.

A mask is read in strips (bands of whole rows). Each strip is labelled by itself; objects that cross a border
between strips are recognised there, and a small table per strip translates its own labels into the scene's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from scipy import ndimage, sparse

_STRIP_PIXELS = 2**25


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
    """The connected objects of a mask, numbered from 1 in the order of their first pixel, row by row."""

    mask: xr.DataArray
    """bool, axes (y, x)."""
    connectivity: int
    """4: pixels that share an edge; 8: also those that share a corner."""
    count: int
    """How many objects."""
    strips: tuple[slice, ...]
    """Rows of each strip."""
    tables: tuple[np.ndarray, ...]
    """For each strip, the object of each of its own labels; entry 0 is 0, the background."""

    def walk(self, *arrays: xr.DataArray) -> Iterator[tuple[slice, np.ndarray, list[np.ndarray]]]:
        """For each strip: its rows, the object of each pixel (int32, 0 = background), the arrays' values there."""
        for strip, rows in enumerate(self.strips):
            mask, *values = _values(rows, self.mask, *arrays)
            yield rows, self._labels(mask, strip), values

    def count_pixels(self, where: xr.DataArray | None = None) -> np.ndarray:
        """int64 (count,): pixels of each object, or only those in a bool array on the same grid."""
        pixels = np.zeros(self.count + 1, np.int64)
        for _, labels, values in self.walk(*([] if where is None else [where])):
            counted = labels[values[0]] if values else labels.ravel()
            pixels += np.bincount(counted, minlength=pixels.size)
        return pixels[1:]

    def keep(self, chosen: np.ndarray) -> xr.DataArray:
        """The mask with only the chosen objects; `chosen` is bool (count,). Lazy where the mask is."""
        wanted = np.concatenate([[False], chosen])
        if self.mask.chunks is None:
            strips = [wanted[labels] for _, labels, _ in self.walk()]
            return self.mask.copy(data=np.concatenate(strips) if strips else self.mask.values)

        def block(mask: np.ndarray, block_info: Any = None) -> np.ndarray:
            return wanted[self._labels(mask, block_info[0]["chunk-location"][0])]

        whole_rows = self.mask.data.rechunk({1: -1})
        kept = whole_rows.map_blocks(block, dtype=bool, meta=np.empty((0, 0), bool))
        return self.mask.copy(data=kept.rechunk(self.mask.chunks))

    def _labels(self, mask: np.ndarray, strip: int) -> np.ndarray:
        return self.tables[strip][_label(mask, self.connectivity)[0]]


def label_objects(mask: xr.DataArray, connectivity: int) -> Objects:
    """Find the connected objects of a bool array with axes (y, x), strip by strip."""
    strips = strips_of(mask)
    counts, pairs = [], []
    offset, above = 0, None
    for rows in strips:
        local, count = _label(_values(rows, mask)[0], connectivity)
        below = np.where(local[0] > 0, local[0] + offset, 0)
        if above is not None:
            pairs.append(_touching(above, below, connectivity))
        above = np.where(local[-1] > 0, local[-1] + offset, 0)
        counts.append(count)
        offset += count
    numbers = _merge(offset, pairs)
    tables = tuple(np.concatenate([[0], part]).astype(np.int32) for part in np.split(numbers, np.cumsum(counts)[:-1]))
    return Objects(mask, connectivity, int(numbers.max(initial=0)), strips, tables)


def strips_of(array: xr.DataArray) -> tuple[slice, ...]:
    """Bands of whole rows: whole chunks where the array is dask-backed, about 32 million pixels otherwise."""
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


def _label(mask: np.ndarray, connectivity: int) -> tuple[np.ndarray, int]:
    structure = ndimage.generate_binary_structure(2, 2 if connectivity == 8 else 1)
    labels, count = ndimage.label(mask, structure, output=np.int32)
    return labels, int(count)


def _touching(above: np.ndarray, below: np.ndarray, connectivity: int) -> np.ndarray:
    """Pairs of labels, axes (pair, 2), that touch across the border of two strips."""
    sides = [(above, below)]
    if connectivity == 8:
        sides += [(above[:-1], below[1:]), (above[1:], below[:-1])]
    upper, lower = (np.concatenate(parts) for parts in zip(*sides, strict=True))
    both = (upper > 0) & (lower > 0)
    return np.unique(np.stack([upper[both], lower[both]], axis=1), axis=0)


def _merge(count: int, pairs: list[np.ndarray]) -> np.ndarray:
    """For each of `count` labels (1..count) the number of its object, numbered by their first label."""
    joined = np.concatenate(pairs) - 1 if pairs else np.empty((0, 2), np.int64)
    ones = np.ones(len(joined), bool)
    graph = sparse.coo_array((ones, (joined[:, 0], joined[:, 1])), shape=(count, count))
    _, component = sparse.csgraph.connected_components(graph, directed=False)
    _, first, inverse = np.unique(component, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(1, len(first) + 1)
    return rank[inverse] if count else np.empty(0, np.int64)
