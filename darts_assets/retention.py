"""How long Dagster remembers runs: those that say how the latest version of something came about stay.

Deleting a run deletes its materializations, and a partition that was made in no other run would count as never made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from dagster import DagsterEventType, DagsterInstance, RunsFilter
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from sqlalchemy import select

from darts_core.errors import DartsError

_PAGE = 1_000
_KINDS = (DagsterEventType.ASSET_MATERIALIZATION, DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
"""What was made, and what was to be made: of a failed partition only the second is there."""


@dataclass(frozen=True, slots=True)
class Retention:
    """What becomes of runs that ended before a moment."""

    forgotten: tuple[str, ...]
    """Ids of runs that nothing current was made in."""
    kept: tuple[str, ...]
    """Ids of runs that made, or tried last, what is current; they lose what they printed."""


def plan_retention(instance: DagsterInstance, before: datetime) -> Retention:
    """Tell the runs that ended and were created before a moment (aware) apart; nothing is deleted."""
    telling = _telling(instance)
    ended = list(_ended(instance, before))
    return Retention(tuple(run for run in ended if run not in telling), tuple(run for run in ended if run in telling))


def apply_retention(instance: DagsterInstance, retention: Retention) -> None:
    """Delete the runs to forget with their events, and what all of them printed."""
    for run in (*retention.forgotten, *retention.kept):
        instance.compute_log_manager.delete_logs(prefix=[run])
    for run in retention.forgotten:
        instance.delete_run(run)


def _ended(instance: DagsterInstance, before: datetime) -> Iterator[str]:
    wanted = RunsFilter(statuses=list(FINISHED_STATUSES), created_before=before)
    cursor = None
    while page := instance.get_run_ids(wanted, cursor=cursor, limit=_PAGE):
        yield from page
        cursor = page[-1]


def _telling(instance: DagsterInstance) -> set[str]:
    """Ids of the runs that the last event of each kind, of every asset and partition, belongs to."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        raise DartsError(f"Expected Dagster's storage in SQLite or PostgreSQL, found {type(storage).__name__}")
    runs: set[str] = set()
    for key in instance.get_asset_keys():
        for kind in _KINDS:
            ids = sorted(storage.get_latest_storage_id_by_partition(key, kind).values())
            for first in range(0, len(ids), _PAGE):
                runs |= _runs_of(storage, ids[first : first + _PAGE])
        # of the asset as a whole, where it has no partitions
        runs |= {record.run_id for record in instance.fetch_materializations(key, limit=1).records}
    return runs


def _runs_of(storage: SqlEventLogStorage, ids: list[int]) -> set[str]:
    # by the column: to load the events would take a thousand times as long
    table = SqlEventLogStorageTable.c
    with storage.index_connection() as connection:
        return {run for (run,) in connection.execute(select(table.run_id).distinct().where(table.id.in_(ids)))}
