"""New scenes become partitions, and those that are delivered anew are made anew. Off until a person turns it on.

Three things are remembered, and all but the first may be lost: the register (a scene, its delivery, and whether that
is settled), an index of what was looked at, and the cursor. Nothing is settled before what follows from it exists, so
a tick that is repeated, overtaken by another or killed half way asks for the same once more, and Dagster's run keys
and partitions make one of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.storage.tags import RUN_KEY_TAG

from darts_assets.assets.raw_scene import version_of_delivery
from darts_assets.automation.jobs import process_scene
from darts_assets.partitions import SCENES, SEASONS, add, known, season_of
from darts_core.errors import DartsError
from darts_core.scenes.scene import SceneError, Unreachable
from darts_core.store import Store, StoreError, check_name
from io_managers.base import StoreResource
from resources.arrivals import Index
from resources.scenes import Registered, WatchedPlace, enter, entry_of

if TYPE_CHECKING:
    from darts_core.scenes.arrivals import Arrivals

MOST_AT_ONCE = 1_000
"""New partitions a tick, and entries that are opened; the rest follows at the next."""
SECONDS = 30.0
"""After which a tick opens nothing more: Dagster ends one after 60."""
OVERLAP = 200
"""Entries that were looked at last and are looked at again, file by file: deliveries grow while they are copied."""
ROUND = 100
"""Further entries of which each tick looks at the files, so that all are seen in time."""

_VERSION = 1
"""Of the cursor."""


@dg.sensor(job=process_scene, minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.STOPPED)
def new_scenes(
    context: dg.SensorEvaluationContext, watched: WatchedPlace, store: StoreResource
) -> dg.SensorResult | dg.SkipReason:
    """Registers a partition for every scene that arrived, renews those delivered anew, and says why it left others."""
    cursor = _read_cursor(context.cursor)
    try:
        arrivals = watched.open(cursor.get("latest"))
        index = Index.read(store.open(), watched.url)
        tick = _Tick(context.instance, store.open(), watched.options, arrivals, index)
        tick.run(cursor.get("looked_at", ""))
    except DartsError as error:
        return dg.SkipReason(str(error))
    for line in tick.refused:
        context.log.info(f"Left out: {line}")
    if not tick.waiting:
        cursor["latest"] = arrivals.latest
    cursor |= {"version": _VERSION, "looked_at": tick.looked_at}
    return dg.SensorResult(
        run_requests=tick.requests,
        asset_events=tick.events,
        cursor=json.dumps(cursor),
        skip_reason=None if tick.requests else dg.SkipReason(tick.told(watched.url)),
    )


def _read_cursor(text: str | None) -> dict[str, Any]:
    """What the last tick left; nothing where there was none, or where it is not of this version."""
    try:
        cursor = json.loads(text or "{}")
    except ValueError:
        return {}
    return cursor if isinstance(cursor, dict) and cursor.get("version") == _VERSION else {}


@dataclass
class _Tick:
    """One evaluation."""

    instance: dg.DagsterInstance
    store: Store
    options: Mapping[str, str]
    """Of the filesystem that scenes arrive on."""
    arrivals: Arrivals
    index: Index
    new: dict[str, Registered] = field(default_factory=dict)
    """Scenes that had no partition, by key."""
    listing: dict[str, str] = field(default_factory=dict)
    """Entry to mark."""
    requests: list[dg.RunRequest] = field(default_factory=list)
    events: list[dg.AssetObservation] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    looked_at: str = ""
    waiting: int = 0
    """Entries that a later tick opens."""
    broken: str = ""
    """Why the tick ended early."""

    def run(self, looked_at: str) -> None:
        """Look, register, and note what was seen to be settled.

        Args:
            looked_at: the entry at which the last round through the files of all entries stopped.

        Raises:
            DartsError: the place cannot be reached.
        """
        started = time.monotonic()
        self.listing = self.arrivals.entries(self.index.entries.keys())
        settled: dict[str, str] = {}
        try:
            todo = self._todo(looked_at)
            for number, entry in enumerate(todo):
                late = time.monotonic() - started > SECONDS
                if late or number >= MOST_AT_ONCE or len(self.new) >= MOST_AT_ONCE:
                    self.waiting = len(todo) - number
                    break
                signature = self.arrivals.signature(entry)
                if self._settle(entry, signature):
                    settled[entry] = signature
        except Unreachable as error:
            # what was found before is kept, and the rest found at a later tick
            self.broken, self.waiting = str(error), max(self.waiting, 1)
        enter(self.store, self.new.values())
        add(self.instance, SCENES, list(self.new))
        add(self.instance, SEASONS, sorted({season_of(key) for key in self.new}))
        for entry, signature in settled.items():
            self.index.note(entry, self.listing[entry], signature)
        self.index.write()

    def told(self, url: str) -> str:
        """What happened, in one line."""
        said = (
            f"Registered {len(self.new)} scenes; 'process_new_scenes' makes them"
            if self.new
            else f"No new scene in {url}"
        )
        counts = f"{len(self.index.entries)} deliveries known, {len(self.refused)} left out now (in the log)"
        return f"{said}: {counts}, {self.waiting} wait{f'. {self.broken}' if self.broken else ''}"

    @cached_property
    def _there(self) -> set[str]:
        return known(self.instance, SCENES)

    def _todo(self, looked_at: str) -> list[str]:
        """Entries to open: new, of another mark, or with other files than they had; these among the latest and some
        more in a round."""
        held = self.index.entries
        todo = {name for name, mark in self.listing.items() if name not in held or held[name][0] != mark}
        same = [name for name in held if name in self.listing and name not in todo]
        after = sorted(name for name in same if name > looked_at)[:ROUND]
        self.looked_at = after[-1] if after else ""
        doubtful = list(dict.fromkeys([*same[-OVERLAP:], *after]))
        with ThreadPoolExecutor(8) as pool:
            signatures = list(pool.map(self.arrivals.signature, doubtful))
        todo |= {name for name, signature in zip(doubtful, signatures, strict=True) if signature != held[name][1]}
        return sorted(todo)

    def _settle(self, entry: str, signature: str) -> bool:
        """Find the scenes of an entry and do what each needs; whether nothing is left to do."""
        if self.index.entries.get(entry, ("", ""))[1] == signature:
            return True
        try:
            found = self.arrivals.find(entry)
        except Unreachable:
            raise
        except DartsError as error:
            self.refused.append(str(error))
            return True
        self.refused += [f"{refusal.url}: {'; '.join(refusal.reasons.values())}" for refusal in found.refusals]
        settled = [self._scene_settled(Registered(scene, entry, signature)) for scene in found.scenes]
        return all(settled)

    def _scene_settled(self, delivered: Registered) -> bool:
        key = delivered.scene.key
        try:
            check_name(key, "partition key")
        except StoreError as error:
            self.refused.append(f"{delivered.scene.url}: {error}")
            return True
        before = self.new.get(key) or self._before(key)
        if before is None:
            if len(self.new) >= MOST_AT_ONCE:
                return False
            self.new[key] = delivered
            return True
        if before.signature is None:
            # a person named it before it was seen here
            enter(self.store, [delivered])
            return True
        if before.entry != delivered.entry and not self._replaces(delivered, before):
            return True
        if key in self.new:
            self.new[key] = delivered
            return True
        if before.signature == delivered.signature:
            if before.entry != delivered.entry:  # the same files were moved
                enter(self.store, [replace(delivered, times=before.times)])
            return True
        return self._renewed(before, delivered)

    def _before(self, key: str) -> Registered | None:
        """What the register has of a partition; what it cannot read it is told anew."""
        try:
            return entry_of(self.store, key) if key in self._there else None
        except SceneError:
            return None

    def _replaces(self, delivered: Registered, before: Registered) -> bool:
        """Whether another entry of the same acquisition takes the place of the one that is registered."""
        if before.entry not in self.listing or delivered.scene.product_id > before.scene.product_id:
            return True
        if delivered.scene.product_id < before.scene.product_id:
            self.refused.append(
                f"{delivered.scene.url}: the same acquisition {before.scene.key} as {before.scene.url}, whose product "
                "name is the later one; move that away to use this"
            )
        return False

    def _renewed(self, before: Registered, delivered: Registered) -> bool:
        """Ask for a scene that is delivered anew, until the run is seen to exist; whether it needs nothing more."""
        from darts_core.scenes import scene_digest

        key, signature = before.scene.key, str(delivered.signature)
        if before.renewed is not None and before.renewed[0] == signature:
            digest = before.renewed[1]
        else:
            try:
                digest = scene_digest(delivered.scene, self.options)
            except Unreachable:
                raise
            except SceneError as error:
                self.refused.append(str(error))
                return False
            pending = (signature, digest)
            enter(self.store, [replace(delivered, signature=before.signature, renewed=pending, times=before.times)])
        run_key = f"{key}@{digest}#{before.times}"
        asked = bool(self.instance.get_run_ids(dg.RunsFilter(tags={RUN_KEY_TAG: run_key}), limit=1))
        if asked or self._needless(key, digest):
            enter(self.store, [replace(delivered, times=before.times + asked)])
            return True
        self.requests.append(dg.RunRequest(run_key=run_key, partition_key=key))
        self.events.append(
            dg.AssetObservation("raw_scene", partition=key, description=f"Delivered anew: {delivered.scene.url}")
        )
        return False

    def _needless(self, key: str, digest: str) -> bool:
        """Whether `raw_scene` holds these bytes already, or was never tried and will be made from them."""
        try:
            return self.store.current("raw_scene", key).version == version_of_delivery(digest)
        except StoreError:
            asset = dg.AssetKey("raw_scene")
            return (self.instance.get_status_by_partition(asset, [key], SCENES) or {}).get(key) is None
