"""A place that scenes arrive in, and the daemon's part in what the sensor makes of them."""

import os
from contextvars import copy_context
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from darts_assets.assets.raw_scene import version_of_delivery
from darts_assets.automation.new_scenes import new_scenes
from darts_assets.definitions import defs
from darts_assets.partitions import SCENES, known
from darts_core.scenes import find_scenes, scene_digest
from darts_core.store import Store
from io_managers.base import StoreResource
from resources.scenes import WatchedPlace
from support.deliveries import key_of, write_delivery


@dataclass
class Place:
    """An inbox, a store, an instance, and the daemon's part in between."""

    instance: dg.DagsterInstance
    inbox: Path
    products: StoreResource
    watched: WatchedPlace | None = None
    """What is looked at; the inbox where None."""
    cursor: str | None = None
    asked: list[dg.RunRequest] = field(default_factory=list)

    @property
    def store(self) -> Store:
        return self.products.open()

    @property
    def scenes(self) -> set[str]:
        return known(self.instance, SCENES)

    def evaluate(self) -> dg.SensorResult | dg.SkipReason:
        """One evaluation, of which nothing is carried out."""
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        watched = self.watched or WatchedPlace(url=str(self.inbox))
        # Dagster leaves the context variables of a directly called sensor set
        return copy_context().run(lambda: new_scenes(context, watched=watched, store=self.products))

    def tick(self) -> str:
        """One evaluation, with what it asks for done as the daemon does it; what it says."""
        result = self.evaluate()
        if isinstance(result, dg.SkipReason):
            return str(result.skip_message)
        self.cursor = result.cursor
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)
        for request in result.run_requests or []:
            if not self.instance.get_run_ids(dg.RunsFilter(tags={"dagster/run_key": str(request.run_key)})):
                self.asked.append(request)
                job = defs.resolve_job_def("process_scene")
                tags = {"dagster/run_key": str(request.run_key), "dagster/partition": str(request.partition_key)}
                self.instance.create_run_for_job(job, status=dg.DagsterRunStatus.SUCCESS, tags=tags)
        return str(result.skip_reason.skip_message) if result.skip_reason else ""

    def deliver(self, *tiles: str, content: int = 0) -> None:
        """Deliveries of a folder each; those of other content have other bytes under the same names."""
        for tile in tiles:
            raster = write_delivery(self.inbox / tile, tile.rpartition("/")[2])
            if content:
                raster.write_bytes(raster.read_bytes()[:-1] + bytes([content]))

    def made(self, tile: str) -> None:
        """As if `raw_scene` had been made from what lies there now."""
        (scene,) = find_scenes(str(self.inbox / tile)).scenes
        self.report_made(tile, version_of_delivery(scene_digest(scene)))

    def report_made(self, tile: str, version: str) -> None:
        """As if `raw_scene` of a tile, or of a partition, had this version."""
        key = tile if tile in self.scenes else key_of(tile)
        with self.store.draft("raw_scene", key, version) as draft:
            (draft.folder / "zarr.json").write_text("{}")
            draft.commit()
        tags = {DATA_VERSION_TAG: version}
        self.instance.report_runless_asset_event(dg.AssetMaterialization("raw_scene", partition=key, tags=tags))

    def later(self, tile: str) -> None:
        """Give the files of a delivery times of their own, as a copy has them; the clock may have gone back."""
        for file in (self.inbox / tile).iterdir():
            os.utime(file, ns=(1, file.stat().st_mtime_ns - 10**12))
