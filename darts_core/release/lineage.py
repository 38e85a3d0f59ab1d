"""Ids that last: which slump of an earlier release a new one is."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from darts_core.release.cells import CRS, Spill, plane, touched
from darts_core.release.errors import ReleaseError
from darts_core.release.matching import overlaps
from darts_core.release.merging import DISSOLVED
from darts_core.vectors.schema import TIME, frame_of

if TYPE_CHECKING:
    import geopandas as gpd
    import pyarrow as pa

RELEASE = "release"
"""The column that tells slumps of this release from those of the previous one."""
NAME = "name"
"""The column that names a slump of either release."""


def named(frame: gpd.GeoDataFrame, *, new: bool) -> gpd.GeoDataFrame:
    """Slumps with what `assign` tells them apart by; an id may occur in both releases."""
    side = "new" if new else "previous"
    return frame.assign(**{RELEASE: side, NAME: side + ":" + frame["id"].astype(str)})


@dataclass(frozen=True, slots=True)
class PreviousRelease:
    """The files of an earlier release that pass ids on."""

    slumps: tuple[Path, ...]
    """GeoParquet files of its slumps, with `id` and geometry."""
    retired: Path | None = None
    """Its table of ids that were given up before."""

    @classmethod
    def in_folder(cls, folder: Path) -> PreviousRelease:
        """The release that `write_release` wrote into a folder.

        Raises:
            ReleaseError: none lies there.
        """
        files = tuple(sorted((folder / "slumps.parquet").glob("*.parquet")))
        if not files:
            raise ReleaseError(
                f"Expected the previous release in {folder}, with slumps.parquet/*.parquet in it; there is none. "
                "Give the folder that an earlier release was written into"
            )
        retired = folder / "retired.parquet"
        return cls(files, retired if retired.exists() else None)

    def spill(self, spill: Spill, side: float) -> None:
        """Put every slump, a file at a time, into the cells that it touches.

        Raises:
            ReleaseError: slumps in another CRS than that of releases.
        """
        import geopandas as gpd

        for file in self.slumps:
            frame = gpd.read_parquet(file, columns=["id", "geometry"])
            if frame.crs != plane():
                raise ReleaseError(f"{file} lies in {frame.crs}; expected a release in {CRS}")
            spill.add(named(_filled(frame), new=False), *touched(frame.bounds.to_numpy(), side))

    def ids(self) -> pa.ChunkedArray:
        """The ids of its slumps."""
        return _ids(self.slumps)

    def given_up(self) -> pa.Table:
        """The ids that it or a release before it gave up: `id` and `retired_in`."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pa.schema({"id": pa.string(), "retired_in": pa.string()})
        return schema.empty_table() if self.retired is None else pq.read_table(self.retired).cast(schema)

    def used(self) -> UsedIds:
        """Every id that this release or one before it gave away."""
        chunks = [*self.ids().chunks, *self.given_up()["id"].chunks]
        return UsedIds(text for chunk in chunks for text in chunk.to_pylist())


def _filled(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Previous slumps with the columns of new ones, blank beside the id, so that both releases share a file."""
    import pandas as pd

    blank = {"str": "", "bool": False, TIME: pd.Timestamp(0, tz="UTC")}
    columns = {column.name: blank.get(column.dtype, 0) for column in DISSOLVED}
    return frame_of({**columns, "id": frame["id"].to_numpy()}, frame.geometry.to_numpy(), plane(), DISSOLVED)


def _ids(files: Sequence[Path]) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = [pq.read_table(file, columns=["id"])["id"].cast(pa.string()) for file in files]
    return pa.chunked_array([chunk for column in found for chunk in column.chunks], pa.string())


class UsedIds:
    """A set of ids in eight bytes each; one that it seems to hold by chance is passed over, which does no harm."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._digests = np.sort(np.fromiter((_digest(text) for text in texts), np.uint64))

    def unused(self, text: str) -> str:
        """`text`, or where that is used a name that follows from it and is not."""
        candidate, number = text, 0
        while _digest(candidate) in self:
            number += 1
            candidate = hashlib.sha256(f"{text}\0{number}".encode()).hexdigest()[:16]
        return candidate

    def __contains__(self, digest: int) -> bool:
        place = np.searchsorted(self._digests, np.uint64(digest))
        return bool(place < len(self._digests)) and int(self._digests[place]) == digest


def assign(frame: gpd.GeoDataFrame, group: np.ndarray, share: float, used: UsedIds) -> gpd.GeoDataFrame:
    """The new slumps of whole groups with their final `id`, `status` and `previous_ids`.

    Of all pairs of a previous and a new slump that match, the one with the largest shared area passes the id on, then
    the next among those whose two slumps have none yet; the names decide between equal areas. So each id goes to one
    slump at most, and what gets none is named by its earliest detection, unless an earlier release used that name.

    `status` is `new` where nothing matches, `merged` where several previous slumps do, `split` where the one that does
    also matches another new slump, else `kept`; `previous_ids` are all that match, sorted.

    Args:
        frame: slumps of both releases, as `named` marks them; groups as `matching.groups` yields them.
        share: as it was for the groups.
        used: ids that must not be given again.
    """
    new = (frame[RELEASE] == "new").to_numpy()
    names, ids = frame[NAME].to_numpy(), frame["id"].to_numpy(object)
    left, right, shared = overlaps(frame.geometry.to_numpy(), new.astype(np.int64), share)
    before, after = np.where(new[left], right, left), np.where(new[left], left, right)
    order = sorted(range(len(shared)), key=lambda pair: (-shared[pair], names[before[pair]], names[after[pair]]))
    heir: dict[int, int] = {}
    inherited: dict[int, int] = {}
    for old, young in ((int(before[pair]), int(after[pair])) for pair in order):
        if old not in heir and young not in inherited:
            heir[old], inherited[young] = young, old
    ancestors: dict[int, list[int]] = defaultdict(list)
    for old, young in zip(before.tolist(), after.tolist(), strict=True):
        ancestors[young].append(old)
    children = np.bincount(before, minlength=len(frame))

    rows = np.flatnonzero(new)
    lines = [ancestors.get(int(row), []) for row in rows]
    columns: dict[str, Any] = {
        "id": [ids[inherited[int(row)]] if int(row) in inherited else used.unused(ids[row]) for row in rows],
        "status": [_status(line, children) for line in lines],
        "previous_ids": [",".join(sorted(ids[line])) for line in lines],
    }
    return frame[new].drop(columns=[RELEASE, NAME]).assign(**columns)


def _status(ancestors: list[int], children: np.ndarray) -> str:
    if not ancestors:
        return "new"
    if len(ancestors) > 1:
        return "merged"
    return "split" if children[ancestors[0]] > 1 else "kept"


def retired(previous: PreviousRelease, files: Sequence[Path], season: str) -> pa.Table:
    """The ids that no slump bears any more: those given up before, and those of the previous release alone.

    Args:
        files: GeoParquet files of the new release's slumps.
        season: what the new release is called.

    Returns:
        `id`, sorted, and `retired_in`, the season of the first release without it.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    before = previous.ids()
    gone = before.filter(pc.invert(pc.is_in(before, value_set=_ids(files).combine_chunks())))
    earlier = previous.given_up()
    added = pa.table({"id": gone, "retired_in": pa.array([season] * len(gone), pa.string())}, earlier.schema)
    return pa.concat_tables([earlier, added]).sort_by("id")


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
