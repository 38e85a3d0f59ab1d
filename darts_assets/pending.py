"""What was asked for and has not begun: runs in the queue, and what a backfill has not yet put there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

import dagster as dg
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from darts_assets.batches import named_in
from darts_assets.graph import asset_graph
from darts_assets.partitions import SCENES

_WAITING = [DagsterRunStatus.QUEUED, DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING]


@dataclass(frozen=True, slots=True)
class Pending:
    """Scenes of which assets are about to be made."""

    assets: Set[dg.AssetKey] | None
    """None where it is all that a scene has."""
    scenes: Set[str]
    """Partition keys."""
    where: str
    """That they wait, for a person to read."""
    run_id: str | None = None
    """The run that will make them, where there is one."""


def pending(instance: DagsterInstance) -> Iterator[Pending]:
    """All that waits; what has begun is told by its own events (see `recording.announce`)."""
    registered = instance.get_dynamic_partitions(str(SCENES.name))
    place = {key: number for number, key in enumerate(registered)}
    for run in instance.get_runs(dg.RunsFilter(statuses=_WAITING)):
        yield Pending(run.asset_selection, scenes_of(run, registered, place), "waits in the queue", run.run_id)
    yield from _in_backfills(instance)


def scenes_of(run: DagsterRun, registered: Sequence[str], place: dict[str, int]) -> set[str]:
    """What a run makes; a range is of the order of registration."""
    first, last = (run.tags.get(tag) for tag in (ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG))
    if named := named_in(run.tags):
        return set(named)
    if first in place and last in place:
        return set(registered[place[first] : place[last] + 1])
    return {run.tags.get(PARTITION_NAME_TAG, "")}


def _in_backfills(instance: DagsterInstance) -> Iterator[Pending]:
    graph = asset_graph()
    for backfill in instance.get_backfills(BulkActionsFilter(statuses=[BulkActionStatus.REQUESTED])):
        if backfill.is_asset_backfill:
            left = backfill.get_asset_backfill_data(graph).get_targeted_partitions_without_materialization_status()
            for asset, subset in left.partitions_subsets_by_asset_key.items():
                yield Pending({asset}, set(subset.get_partition_keys()), "waits in a backfill")
