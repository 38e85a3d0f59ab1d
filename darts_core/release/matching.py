"""Which features are the same: overlap within a cell, and groups of features across cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from darts_core.release.cells import Cell, Spill, cells_of, corners
from darts_core.release.errors import ReleaseError

if TYPE_CHECKING:
    import geopandas as gpd

BUCKET_ROWS = 20_000
"""Rows of groups across cells that are held in memory at once, about."""

_VIA = "via"


def overlaps(
    shapes: np.ndarray, sides: np.ndarray, share: float, owned: tuple[Cell, float] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of features of different sides that overlap, each once: left and right (left < right), shared area.

    Args:
        shapes: valid polygons (n,) in one plane.
        sides: (n,) what each belongs to; two features of one side are never compared.
        share: the least shared part of the smaller one's area.
        owned: a cell and the side of all cells; only pairs whose boxes first meet in it are judged.
    """
    import shapely

    left, right = shapely.STRtree(shapes).query(shapes)
    kept = (left < right) & (sides[left] != sides[right])
    left, right = left[kept], right[kept]
    if owned is not None:
        bounds = shapely.bounds(shapes)
        met = cells_of(np.maximum(bounds[left, :2], bounds[right, :2]), owned[1])
        here = (met == owned[0]).all(axis=1)
        left, right = left[here], right[here]
    # the smaller index first, whatever order the tree found them in, so that rounding is the same everywhere
    order = np.lexsort((right, left))
    left, right = left[order], right[order]
    shared = shapely.area(shapely.intersection(shapes[left], shapes[right]))
    areas = shapely.area(shapes)
    same = (shared > 0) & (shared >= share * np.minimum(areas[left], areas[right]))
    return left[same], right[same], shared[same]


def components(count: int, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """For each of `count` features the number of its component, 0.. by the first feature of each."""
    from scipy import sparse

    graph = sparse.coo_array((np.ones(len(left), bool), (left, right)), shape=(count, count))
    _, component = sparse.csgraph.connected_components(graph, directed=False)
    _, first, inverse = np.unique(component, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def groups(
    spill: Spill, side: float, folder: Path, *, order: Sequence[str], apart: str, share: float
) -> Iterator[tuple[gpd.GeoDataFrame, np.ndarray]]:
    """Groups of features that overlap, also through others and across cells, in frames of whole groups.

    A cell is matched alone. Groups without a feature that reaches into another cell are finished with it; of the
    others each feature is put aside once, and union-find over those that lie in several cells joins them. So what is
    held is one cell, and one name for each feature at a border. Groups do not depend on `side`.

    Args:
        spill: every feature in each cell that its box touches (`touched`).
        side: of a cell, metres.
        folder: where rows of unfinished groups wait; must not exist.
        order: columns that order the features of a group; the last one names each feature, uniquely.
        apart: the column with what a feature belongs to; two of the same are never compared.
        share: see `overlaps`.

    Yields:
        Features in `order`, and for each row the number of its group, 0.. by first row.

    Raises:
        ReleaseError: two features of one name.
    """
    waiting, joined, open_rows = Spill(folder / "open"), _DisjointSets(), 0
    for cell in spill.cells():
        frame = _ordered(spill.read(cell), order)
        group = _matched(frame, apart, share, (cell, side))
        low, high = corners(frame.bounds.to_numpy(), side)
        border = (low != high).any(axis=1)
        unfinished = np.isin(group, np.unique(group[border]))
        names = frame[order[-1]].to_numpy()
        first = dict(zip(group[border][::-1], names[border][::-1], strict=True))
        for number, name in zip(group[border], names[border], strict=True):
            joined.join(first[number], name)
        if not unfinished.all():
            yield _renumbered(frame[~unfinished], group[~unfinished])
        home = unfinished & (low == cell).all(axis=1)
        aside = frame[home].assign(**{_VIA: [first[number] for number in group[home]]})
        waiting.add(aside, np.arange(len(aside)), np.tile(cell, (len(aside), 1)))
        open_rows += len(aside)
    yield from _across(waiting, joined, folder, max(1, -(-open_rows // BUCKET_ROWS)), order)


def matched(
    frame: gpd.GeoDataFrame, order: Sequence[str], *, apart: str, share: float
) -> tuple[gpd.GeoDataFrame, np.ndarray]:
    """All features of a frame and the number of their group, in memory at once; see `groups`."""
    ordered = _ordered(frame, order)
    return ordered, _matched(ordered, apart, share, None)


def _matched(frame: gpd.GeoDataFrame, apart: str, share: float, owned: tuple[Cell, float] | None) -> np.ndarray:
    sides = frame[apart].astype("category").cat.codes.to_numpy()
    left, right, _ = overlaps(frame.geometry.to_numpy(), sides, share, owned)
    return components(len(frame), left, right)


def _across(
    waiting: Spill, joined: _DisjointSets, folder: Path, buckets: int, order: Sequence[str]
) -> Iterator[tuple[gpd.GeoDataFrame, np.ndarray]]:
    """The groups that reach over cells; a group lies in one bucket, by the digest of its name."""
    bucketed = Spill(folder / "across")
    for cell in waiting.cells():
        frame = waiting.read(cell)
        root = [joined.find(name) for name in frame[_VIA]]
        bucket = [(crc32(name.encode()) % buckets, 0) for name in root]
        bucketed.add(frame.assign(**{_VIA: root}), np.arange(len(frame)), np.array(bucket).reshape(-1, 2))
    for cell in bucketed.cells():
        frame = _ordered(bucketed.read(cell), order)
        yield _renumbered(frame.drop(columns=_VIA), frame[_VIA].astype("category").cat.codes.to_numpy())


def _ordered(frame: gpd.GeoDataFrame, order: Sequence[str]) -> gpd.GeoDataFrame:
    names = frame[order[-1]]
    twice = names[names.duplicated()]
    if len(twice):
        raise ReleaseError(
            f"{twice.iloc[0]} is given twice, as are {len(twice)} in all; pass each scene's polygons once"
        )
    return frame.sort_values([*order], ignore_index=True)


def _renumbered(frame: gpd.GeoDataFrame, group: np.ndarray) -> tuple[gpd.GeoDataFrame, np.ndarray]:
    _, first, inverse = np.unique(group, return_index=True, return_inverse=True)
    return frame.reset_index(drop=True), np.argsort(np.argsort(first))[inverse]


class _DisjointSets:
    """Union-find over names; what a set is called does not depend on the order of the joins."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def find(self, name: str) -> str:
        parent = self._parent
        root = name
        while parent.get(root, root) != root:
            root = parent[root]
        while parent.get(name, name) != root:
            parent[name], name = root, parent[name]
        return root

    def join(self, one: str, other: str) -> None:
        low, high = sorted((self.find(one), self.find(other)))
        if low != high:
            self._parent[high] = low
