"""What the sensors cost: a tick that finds nothing new among many scenes, and many new scenes becoming work.

Lays `--known` deliveries (folders of a GeoTIFF and its Item) into an inbox and lets the sensor know them; measures
ticks that find nothing new; adds `--new` and ticks until all are partitions; then lets declarative automation, as the
daemon does, make one backfill of all that is missing, and tells the states of all scenes. With `--postgres URL`
Dagster's storage is that database, which must be empty; else it is SQLite. Prints seconds, and the process's peak
memory after each part.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import Any

BANDS = ("blue", "green", "red", "nir")


def main(known: int, new: int, postgres: str | None, folder: Path) -> None:
    """Measure in this process, as the code server evaluates sensors."""
    os.environ["DARTS_HOME"] = str(folder)
    import dagster as dg

    from darts_assets.partitions import SCENES
    from darts_assets.partitions import known as registered
    from darts_assets.states import scene_states

    inbox = folder / "inbox"
    raster = folder / "scene.tif"
    _draw(raster)
    _deliver(inbox, raster, range(known))
    (folder / "dagster.yaml").write_text(
        "telemetry:\n  enabled: false\n"
        + (f"storage:\n  postgres:\n    postgres_url: {postgres}\n" if postgres else "")
    )
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        _know(instance, folder, inbox)
        sensor = _Sensor(instance, folder, inbox)
        for number in range(3):
            with _timed(f"tick {number + 1} with {known} scenes known, nothing new"):
                said = sensor.tick()
        print(said)
        _deliver(inbox, raster, range(known, known + new))
        number = 0
        while len(registered(instance, SCENES)) < known + new:
            number += 1
            with _timed(f"tick {number} of {new} new scenes"):
                sensor.tick()
        with _timed(f"declarative automation on {known + new} scenes, of which none is made"):
            (asked,) = _automation(instance)
        print(f"  one backfill of {asked.asset_graph_subset.num_partitions_and_non_partitioned_assets} products")
        with _timed(f"states of {known + new} scenes"):
            scene_states(instance)


def _automation(instance: Any) -> list[Any]:
    """What the first evaluation of `process_new_scenes` asks for."""
    import dagster as dg
    from dagster._core.definitions.asset_daemon_cursor import AssetDaemonCursor
    from dagster._core.definitions.automation_tick_evaluation_context import AutomationTickEvaluationContext

    from darts_assets.definitions import defs

    tick = AutomationTickEvaluationContext(
        evaluation_id=1,
        instance=instance,
        asset_graph=defs.resolve_asset_graph(),
        cursor=AssetDaemonCursor.empty(),
        materialize_run_tags={},
        observe_run_tags={},
        auto_observe_asset_keys=set(),
        asset_selection=dg.AssetSelection.tag("darts/of", "scene"),
        logger=logging.getLogger("benchmark"),
        emit_backfills=True,
    )
    return list(tick.evaluate()[0])


class _Sensor:
    """`new_scenes`, evaluated as the daemon does."""

    def __init__(self, instance: Any, folder: Path, inbox: Path) -> None:
        self.instance, self.folder, self.inbox = instance, folder, inbox
        self.cursor: str | None = None

    def tick(self) -> str:
        import dagster as dg

        from darts_assets.automation.new_scenes import new_scenes
        from io_managers.base import StoreResource
        from resources.scenes import WatchedPlace

        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        place, store = WatchedPlace(url=str(self.inbox)), StoreResource(root=str(self.folder / "products"))
        result = copy_context().run(lambda: new_scenes(context, watched=place, store=store))
        self.cursor = getattr(result, "cursor", None)
        reason = result.skip_reason if hasattr(result, "skip_reason") else result
        return str(reason.skip_message)


def _know(instance: Any, folder: Path, inbox: Path) -> None:
    """Let the sensor know what lies in the inbox, as many ticks would."""
    from darts_assets.partitions import SCENES, add
    from darts_core.scenes.arrivals import Inbox
    from darts_core.store import Store
    from resources.arrivals import Index

    arrivals, index = Inbox(str(inbox)), Index.read(Store(str(folder / "products")), str(inbox))
    entries = arrivals.entries(())
    for entry, mark in entries.items():
        index.note(entry, mark, arrivals.signature(entry))
    index.write()
    keys = [f"{entry.rstrip('/')}_20230801T000000_made-up" for entry in entries]
    for start in range(0, len(keys), 1000):
        add(instance, SCENES, keys[start : start + 1000])


def _draw(raster: Path) -> None:
    import numpy as np
    import rasterio
    from rasterio.transform import from_origin

    raster.parent.mkdir(parents=True, exist_ok=True)
    profile = {"width": 16, "height": 16, "count": len(BANDS), "dtype": "uint16", "nodata": 0, "crs": "EPSG:32608"}
    with rasterio.open(raster, "w", "GTiff", transform=from_origin(500000, 7500000, 3, 3), **profile) as target:
        target.write(np.ones((len(BANDS), 16, 16), np.uint16))


def _deliver(inbox: Path, raster: Path, numbers: range) -> None:
    for number in numbers:
        folder = inbox / f"T{number:06d}"
        folder.mkdir(parents=True)
        # a file system allows a file only so many names
        source = raster.with_name(f"scene-{number // 10_000}.tif")
        if not source.exists():
            shutil.copyfile(raster, source)
        os.link(source, folder / "scene.tif")
        (folder / "scene.json").write_text(json.dumps(_item(folder.name)))


def _item(tile: str) -> dict[str, object]:
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": tile,
        "properties": {"datetime": "2023-08-01T00:00:00Z", "platform": "made-up", "grid:code": tile},
        "assets": {
            "data": {
                "href": "scene.tif",
                "eo:bands": [{"name": band, "common_name": band} for band in BANDS],
                "raster:bands": [{"scale": 0.0001, "offset": 0, "nodata": 0}] * len(BANDS),
            }
        },
    }


@contextmanager
def _timed(what: str) -> Iterator[None]:
    started, cpu = time.perf_counter(), time.process_time()
    yield
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    wall = time.perf_counter() - started
    print(f"{what}: {wall:.2f} s wall, {time.process_time() - cpu:.2f} s CPU, peak {peak:.0f} MiB", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--known", type=int, default=100_000)
    parser.add_argument("--new", type=int, default=10_000)
    parser.add_argument("--postgres", help="URL of an empty database, such as postgresql://user:password@host/name")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="darts-sensors-") as home:
        main(options.known, options.new, options.postgres, Path(home))
