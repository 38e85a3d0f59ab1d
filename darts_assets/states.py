"""How far each scene is: made, stale, missing, failed or running; from Dagster's index, not from the store.

A few queries an asset, however many scenes there are; only what may be out of date is looked at more closely.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256

import dagster as dg
import numpy as np
from dagster import DagsterEventType, DagsterInstance
from dagster._core.definitions.data_version import (
    DATA_VERSION_TAG,
    extract_data_version_from_entry,
    get_input_data_version_tag,
)
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from darts_assets.batches import cut
from darts_assets.graph import asset_graph, scene_assets
from darts_assets.partitions import SCENES, known, season_of, tile_of
from darts_assets.pending import pending
from darts_core.manifests import code_of

_AT_ONCE = 500
"""Rows that one query names."""

_PLANNED = DagsterEventType.ASSET_MATERIALIZATION_PLANNED
_MATERIALIZED = DagsterEventType.ASSET_MATERIALIZATION
_OBSERVED = DagsterEventType.ASSET_OBSERVATION


class State(StrEnum):
    """What a scene is; where several are true of its assets, the one that stands first here."""

    RUNNING = "running"
    """An asset of it is in a run that has not ended, or waits in a backfill."""
    FAILED = "failed"
    """The latest attempt at an asset failed."""
    MISSING = "missing"
    """An asset was never made, and nothing failed."""
    STALE = "stale"
    """All was made, and something by other code than this, from an input that changed since (another version of an
    asset, other released models), or from a delivery that was replaced. What only settings change (an upscaler,
    excluded ground) is found out by the run that is asked to make it."""
    MADE = "made"
    """All is there and up to date."""


@dataclass(frozen=True, slots=True)
class SceneState:
    """The state of one scene, and why."""

    state: State
    asset: str | None = None
    """The first asset in pipeline order of which the state is true; None where all are made."""
    why: str = ""
    """One line for a person."""
    run_id: str | None = None
    """Of the attempt that failed or goes on, where there is one."""


def scene_states(
    instance: DagsterInstance, *, tile: str | None = None, season: str | None = None
) -> dict[str, SceneState]:
    """The state of every registered scene, by partition key, sorted: tile after tile, each in the order of time.

    Args:
        instance: whose runs and materializations are looked at.
        tile: only scenes of this tile.
        season: only scenes of this year.
    """
    keys = scene_keys(instance, tile=tile, season=season)
    index = _Index(instance, keys)
    found: dict[str, SceneState] = {}
    for look in (index.running, index.failed, index.missing, index.stale):
        for asset in index.assets:
            for key, state in look(asset):
                found.setdefault(key, state)
    return {key: found.get(key, _MADE) for key in keys}


def scene_keys(instance: DagsterInstance, *, tile: str | None = None, season: str | None = None) -> list[str]:
    """The registered scenes of a tile and a season, sorted."""
    return sorted(
        key for key in known(instance, SCENES) if tile in (None, tile_of(key)) and season in (None, season_of(key))
    )


_MADE = SceneState(State.MADE)

_Found = Iterator[tuple[str, SceneState]]


@dataclass(frozen=True, slots=True)
class _Asset:
    """One that is per scene."""

    key: dg.AssetKey
    code: str
    """The code version that is current."""
    parents: tuple[dg.AssetKey, ...]
    """Per scene as well."""
    shared: tuple[dg.AssetKey, ...]
    """Inputs that are the same for all scenes."""

    @property
    def name(self) -> str:
        return self.key.path[-1]


@dataclass
class _Index:
    """What Dagster knows of the assets of some scenes; event ids, which grow with time, tell what came after what."""

    instance: DagsterInstance
    keys: Sequence[str]
    assets: list[_Asset] = field(init=False)

    def __post_init__(self) -> None:
        self.assets = _scene_assets()
        self._place = {key: number for number, key in enumerate(self.keys)}
        # to read all is faster than to name many
        self._named = list(self.keys) if len(self.keys) <= _AT_ONCE else None
        self._made = {asset.key: self._ids(asset.key, _MATERIALIZED) for asset in self.assets}
        unfinished = dg.RunsFilter(statuses=NOT_FINISHED_STATUSES)
        self._unfinished = set(self.instance.get_run_ids(unfinished))
        self._tried = {asset.key: self._attempts(asset.key) for asset in self.assets}
        self._pending = list(pending(self.instance))

    def running(self, asset: _Asset) -> _Found:
        """Scenes of which an asset is being made, or is about to be."""
        for key, run_id in self._tried[asset.key].items():
            if run_id in self._unfinished:
                yield key, SceneState(State.RUNNING, asset.name, "in a run", run_id)
        for one in self._pending:
            if one.assets is None or asset.key in one.assets:
                for key in self._place.keys() & one.scenes:
                    yield key, SceneState(State.RUNNING, asset.name, one.where, one.run_id)

    def failed(self, asset: _Asset) -> _Found:
        """Scenes of which the latest run that was to make an asset failed; a cancelled one makes none failed."""
        tried = {key: run_id for key, run_id in self._tried[asset.key].items() if run_id not in self._unfinished}
        failed: set[str] = set()
        for runs in cut(sorted(set(tried.values())), _AT_ONCE):
            failed.update(
                self.instance.get_run_ids(dg.RunsFilter(run_ids=runs, statuses=[dg.DagsterRunStatus.FAILURE]))
            )
        for key, run_id in tried.items():
            if run_id in failed:
                yield key, SceneState(State.FAILED, asset.name, "its latest run failed", run_id)

    def missing(self, asset: _Asset) -> _Found:
        """Scenes of which an asset was never made."""
        for number in np.flatnonzero(self._made[asset.key] == 0).tolist():
            yield self.keys[number], SceneState(State.MISSING, asset.name, "was never made")

    def stale(self, asset: _Asset) -> _Found:
        """Scenes of which an asset is out of date; the asset is made."""
        if not asset.parents:
            delivered = self._ids(asset.key, _OBSERVED) > self._made[asset.key]
            for number in np.flatnonzero(delivered).tolist():
                yield self.keys[number], SceneState(State.STALE, asset.name, "was delivered anew")
        for key, version in self._versions(asset.key).items():
            if code_of(version) != asset.code and key in self._place:
                why = f"was made by code version {code_of(version)}, which is now {asset.code}"
                yield key, SceneState(State.STALE, asset.name, why)
        for parent in asset.parents:
            why = f"was made from another version of {parent.path[-1]} than there is now"
            for key in self._made_from_another(asset, parent):
                yield key, SceneState(State.STALE, asset.name, why)
        for parent in asset.shared:
            for key in self._made_before(asset, parent):
                why = f"was made before {parent.path[-1]} changed"
                yield key, SceneState(State.STALE, asset.name, why)

    def _ids(self, asset: dg.AssetKey, event: DagsterEventType) -> np.ndarray:
        """(scenes,), int64: id of the latest event of each scene, 0 where there is none."""
        ids = np.zeros(len(self.keys), np.int64)
        latest = self.instance.event_log_storage.get_latest_storage_id_by_partition(
            asset, event, partitions=set(self._named or ())
        )
        for key, latest_id in latest.items():
            if key in self._place:
                ids[self._place[key]] = latest_id
        return ids

    def _attempts(self, asset: dg.AssetKey) -> dict[str, str]:
        """Scene to run, where a run that was to make the asset has not made it."""
        storage = self.instance.event_log_storage
        planned = self._ids(asset, _PLANNED)
        open_ends = planned[planned > self._made[asset]]
        if not open_ends.size:
            return {}
        tried = storage.get_latest_asset_partition_materialization_attempts_without_materializations(
            asset, after_storage_id=int(open_ends.min()) - 1
        )
        return {key: run_id for key, (run_id, _) in tried.items() if key in self._place}

    def _versions(self, asset: dg.AssetKey, keys: Sequence[str] | None = None) -> dict[str, str]:
        """Scene to data version, of all these scenes where none is named."""
        tags = self.instance.event_log_storage.get_latest_tags_by_partition(
            asset, _MATERIALIZED, [DATA_VERSION_TAG], asset_partitions=keys or self._named
        )
        return {key: of[DATA_VERSION_TAG] for key, of in tags.items()}

    def _made_from_another(self, asset: _Asset, parent: dg.AssetKey) -> Iterator[str]:
        """Scenes whose `parent` is newer than `asset` and has another version than the one that it was made from."""
        newer = np.flatnonzero((self._made[parent] > self._made[asset.key]) & (self._made[asset.key] > 0))
        tag = get_input_data_version_tag(parent)
        for numbers in cut(newer.tolist(), _AT_ONCE):
            now = self._versions(parent, [self.keys[number] for number in numbers])
            ids = self._made[asset.key][numbers].tolist()
            records = self.instance.fetch_materializations(
                dg.AssetRecordsFilter(asset_key=asset.key, storage_ids=ids), limit=len(ids)
            ).records
            for record in records:
                made = record.asset_materialization
                if made is not None and made.partition and (made.tags or {}).get(tag) != noted(now.get(made.partition)):
                    yield made.partition

    def _made_before(self, asset: _Asset, parent: dg.AssetKey) -> Iterator[str]:
        """Scenes that were made while `parent`, which all share, had another version than it has now.

        What was made before its first version was recorded counts as made from that.
        """
        records = self.instance.fetch_materializations(parent, limit=_AT_ONCE).records
        versions = [extract_data_version_from_entry(record.event_log_entry) for record in records]
        others = [number for number, version in enumerate(versions) if version != versions[0]]
        if not others:
            return
        since = records[others[0] - 1].storage_id
        made = self._made[asset.key]
        for number in np.flatnonzero((made > 0) & (made < since)).tolist():
            yield self.keys[number]


def _scene_assets() -> list[_Asset]:
    """In pipeline order."""
    graph = asset_graph()
    of_scene = {key: graph.get(key) for key in scene_assets()}
    return [
        _Asset(
            key,
            str(node.code_version),
            tuple(parent for parent in sorted(node.parent_keys) if parent in of_scene),
            tuple(parent for parent in sorted(node.parent_keys) if not graph.get(parent).is_partitioned),
        )
        for key, node in of_scene.items()
    ]


def noted(version: str | None) -> str | None:
    """As what Dagster notes the version of a partition that something was made from: the hash of all that were read."""
    return None if version is None else sha256(version.encode()).hexdigest()
