"""How the platform is, in numbers: for the command `status`, for scrapers, for the overview."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster import DagsterInstance
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus

from darts_assets.partitions import season_of
from darts_assets.states import SceneState, State
from darts_core.store import Store

HOUR = timedelta(hours=1)

Labels = tuple[tuple[str, str], ...]
"""Names and values that tell samples of one metric apart."""


@dataclass(frozen=True, slots=True)
class Pool:
    """One concurrency pool."""

    slots: int
    used: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What an operator watches; times are seconds since 1970."""

    taken: float
    scenes: Mapping[str, Mapping[State, int]]
    """Season to state to number of scenes."""
    runs: Mapping[str, int]
    """Status to number of runs that have not ended."""
    ended_last_hour: Mapping[str, int]
    """``success``, ``failure`` and ``canceled`` to number of runs."""
    backfills: int
    """That have not ended."""
    pools: Mapping[str, Pool]
    heartbeats: Mapping[str, float]
    """Daemon to when it was last alive."""
    ticks: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    """Sensor or schedule that is on to when it last ticked and how that ended."""
    free_bytes: int | None = None
    """Of the disk of the products; None of an object store."""
    store_bytes: int | None = None
    """Of everything in the store; None where it was not asked for."""


def take(instance: DagsterInstance, store: Store, states: Mapping[str, SceneState], *, measure: bool) -> Figures:
    """The figures now.

    Args:
        states: of the scenes, from `scene_states`.
        measure: whether to add up the sizes of all objects, which lists the whole store.
    """
    now = datetime.now(UTC)
    ended = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
    unfinished = [status for status in dg.DagsterRunStatus if status not in ended]
    return Figures(
        taken=now.timestamp(),
        scenes=by_season(states),
        runs={status.value.lower(): _count(instance, status) for status in unfinished},
        ended_last_hour={status.value.lower(): _count(instance, status, since=now - HOUR) for status in ended},
        backfills=instance.get_backfills_count(
            BulkActionsFilter(statuses=[BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING])
        ),
        pools=dict(_pools(instance)),
        heartbeats={name: beat.timestamp for name, beat in instance.get_daemon_heartbeats().items()},
        ticks=dict(_ticks(instance)),
        free_bytes=_free(store),
        store_bytes=sum(store.sizes(store.base).values()) if measure else None,
    )


def by_season(states: Mapping[str, SceneState]) -> dict[str, dict[State, int]]:
    """Season to state to number of scenes, seasons in order, every state named."""
    counted = Counter((season_of(key), state.state) for key, state in states.items())
    seasons = sorted({season for season, _ in counted})
    return {season: {state: counted[season, state] for state in State} for season in seasons}


def _count(instance: DagsterInstance, status: dg.DagsterRunStatus, since: datetime | None = None) -> int:
    return instance.get_runs_count(dg.RunsFilter(statuses=[status], updated_after=since))


def _pools(instance: DagsterInstance) -> Iterator[tuple[str, Pool]]:
    storage = instance.event_log_storage
    for name in sorted(storage.get_concurrency_keys()):
        info = storage.get_concurrency_info(name)
        waiting = sum(step.assigned_timestamp is None for step in info.pending_steps)
        yield name, Pool(info.limit or 0, len(info.claimed_slots), waiting)


def _ticks(instance: DagsterInstance) -> Iterator[tuple[str, tuple[float, str]]]:
    for state in instance.all_instigator_state():
        if state.is_running:
            for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1):
                yield state.instigator_name, (tick.timestamp, tick.status.value.lower())


def _free(store: Store) -> int | None:
    if not store.local:
        return None
    try:
        return shutil.disk_usage(store.base).free
    except FileNotFoundError:  # before the first product
        return None


def prometheus(figures: Figures) -> str:
    """The figures as Prometheus reads them: text format 0.0.4."""
    lines: list[str] = []

    def gauge(name: str, about: str, samples: Iterable[tuple[Labels, float]]) -> None:
        lines.extend((f"# HELP darts_{name} {about}", f"# TYPE darts_{name} gauge"))
        for labels, value in samples:
            named = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
            lines.append(f"darts_{name}{f'{{{named}}}' if named else ''} {value:.15g}")

    scenes = {
        (("season", season), ("state", state.value)): number
        for season, states in figures.scenes.items()
        for state, number in states.items()
    }
    gauge("scenes", "Registered scenes by season and state.", scenes.items())
    gauge("runs", "Runs that have not ended.", [((("status", name),), n) for name, n in figures.runs.items()])
    ended = {(("status", name),): number for name, number in figures.ended_last_hour.items()}
    gauge("runs_ended_last_hour", "Runs that ended within the last hour.", ended.items())
    gauge("backfills", "Backfills that have not ended.", [((), figures.backfills)])
    for part in ("slots", "used", "waiting"):
        pools = {(("pool", name),): getattr(pool, part) for name, pool in figures.pools.items()}
        gauge(f"pool_{part}", f"Concurrency pools: {part}.", pools.items())
    beats = {(("daemon", name),): when for name, when in figures.heartbeats.items()}
    gauge("daemon_heartbeat_timestamp_seconds", "When a daemon was last alive.", beats.items())
    ticks = {(("name", name), ("status", how)): when for name, (when, how) in figures.ticks.items()}
    gauge("tick_timestamp_seconds", "When a sensor or schedule that is on last ticked.", ticks.items())
    sizes = {"store_free_bytes": figures.free_bytes, "store_bytes": figures.store_bytes}
    for name, size in sizes.items():
        if size is not None:
            gauge(name, "Disk of the products, free." if "free" in name else "All products.", [((), size)])
    gauge("status_timestamp_seconds", "When these figures were taken.", [((), figures.taken)])
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
