"""What the sensor makes of what arrives: each delivery once, whatever happens to ticks, cursor and index."""

import json
import os
import shutil
from collections.abc import Iterator
from contextvars import copy_context
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from support.deliveries import key_of, write_delivery

from darts_assets.assets.raw_scene import version_of_delivery
from darts_assets.automation import new_scenes as module
from darts_assets.automation.new_scenes import new_scenes
from darts_assets.definitions import defs
from darts_assets.partitions import SCENES, SEASONS, known
from darts_core.scenes import find_scenes, scene_digest
from darts_core.store import Store
from darts_core.synthetic.world import World, make_world
from io_managers.base import StoreResource
from resources.scenes import WatchedPlace, register, registered


@dataclass
class Place:
    """An inbox, a store, an instance, and the daemon's part in between."""

    instance: dg.DagsterInstance
    inbox: Path
    products: StoreResource
    url: str = ""
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
        watched = WatchedPlace(url=self.url or str(self.inbox))
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
        version = version_of_delivery(scene_digest(scene))
        with self.store.draft("raw_scene", scene.key, version) as draft:
            (draft.folder / "zarr.json").write_text("{}")
            draft.commit()
        tags = {DATA_VERSION_TAG: version}
        self.instance.report_runless_asset_event(dg.AssetMaterialization("raw_scene", partition=scene.key, tags=tags))

    def later(self, tile: str) -> None:
        """Give the files of a delivery times of their own, as a copy has them; the clock may have gone back."""
        for file in (self.inbox / tile).iterdir():
            os.utime(file, ns=(1, file.stat().st_mtime_ns - 10**12))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "inbox").mkdir()
    with dg.instance_for_test() as instance:
        yield Place(instance, tmp_path / "inbox", StoreResource(root=str(tmp_path / "products")))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


def test_a_scene_becomes_a_partition_that_knows_where_it_lies(place: Place, world: World) -> None:
    shutil.copytree(world.planet, place.inbox / "order")
    shutil.copytree(world.sentinel2, place.inbox / world.sentinel2.name)
    assert "Registered 2 scenes" in place.tick()
    assert {registered(place.store, key).url.split("/")[-2] for key in place.scenes} >= {"inbox"}
    assert known(place.instance, SEASONS) == {"2023"}


def test_what_is_known_is_not_opened_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.deliver("A", "B")
    place.tick()
    monkeypatch.setattr("darts_core.scenes.arrivals.find_scenes", None)
    assert "No new scene" in place.tick()
    assert "2 deliveries known" in place.tick()


def test_a_late_one_is_found_wherever_it_lies(place: Place) -> None:
    place.deliver("B", "2023/north/C")
    place.tick()
    place.deliver("A", "2023/north/D", "2023/E")
    write_delivery(place.inbox, "F")  # no folder of its own
    shutil.make_archive(str(place.inbox / "G"), "zip", place.inbox / "A")
    place.later("A")
    place.tick()
    assert place.scenes == {key_of(tile) for tile in "ABCDEF"}


def test_the_same_bytes_again_do_nothing_and_others_are_made_once(place: Place) -> None:
    place.deliver("A", "B")
    place.tick()
    place.made("A")
    place.later("A")
    place.tick()
    assert place.asked == []
    place.deliver("A", content=7)
    place.tick()
    place.tick()
    assert [request.partition_key for request in place.asked] == [key_of("A")]
    place.made("A")
    place.tick()
    place.tick()
    assert len(place.asked) == 1


def test_a_delivery_that_comes_back_is_made_again(place: Place) -> None:
    place.deliver("A")
    place.tick()
    for content in (7, 0, 7):
        place.made("A")
        place.deliver("A", content=content)
        for _ in range(3):
            place.tick()
    assert len(place.asked) == 3


def test_of_a_scene_that_was_not_made_yet_nothing_is_asked(place: Place) -> None:
    place.deliver("A")
    place.tick()
    place.deliver("A", content=7)
    place.tick()
    assert place.asked == []


def test_a_delivery_that_was_completed_after_its_run_failed_is_taken_up(place: Place) -> None:
    place.deliver("A")
    place.tick()
    job = defs.resolve_job_def("process_scene")
    place.instance.create_run_for_job(job, status=dg.DagsterRunStatus.FAILURE, tags={"dagster/partition": key_of("A")})
    place.deliver("A", content=7)
    place.tick()
    place.tick()
    assert [request.partition_key for request in place.asked] == [key_of("A")]


@pytest.mark.parametrize("lost", ["cursor", "index", "both", "tick"])
def test_what_is_lost_makes_nothing_twice_and_loses_nothing(place: Place, lost: str) -> None:
    place.deliver("A", "B")
    place.tick()
    place.made("A")
    place.made("B")
    place.deliver("A", content=7)
    for _ in range(3):
        if lost == "tick":
            place.evaluate()  # the daemon died before it did anything
        if lost in ("cursor", "both"):
            place.cursor = None
        if lost in ("index", "both"):
            (place.inbox.parent / "products" / "scenes" / "index.json").unlink()
        place.tick()
    assert place.scenes == {key_of("A"), key_of("B")}
    assert [request.partition_key for request in place.asked] == [key_of("A")]


def test_ticks_that_overlap_ask_once(place: Place) -> None:
    place.deliver("A")
    place.tick()
    place.made("A")
    place.deliver("A", content=7)
    first, second = place.evaluate(), place.evaluate()
    assert [request.run_key for request in first.run_requests] == [request.run_key for request in second.run_requests]
    place.tick()
    place.tick()
    assert len(place.asked) == 1


def test_not_more_than_so_many_are_taken_at_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_AT_ONCE", 2)
    place.deliver(*"ABCDE")
    assert "3 wait" in place.tick()
    assert len(place.scenes) == 2
    place.tick()
    place.tick()
    assert len(place.scenes) == 5


@pytest.mark.parametrize("grid", ["../../etc", "a/b", "a b", "x" * 120, "a;DROP", "..", "ä"])
def test_hostile_names_are_refused_with_the_reason_and_others_taken(place: Place, grid: str) -> None:
    place.deliver("A", "H")
    item = place.inbox / "H" / "H.json"
    content = json.loads(item.read_text())
    content["properties"]["grid:code"] = f"MGRS-{grid}"
    content["properties"]["s2:mgrs_tile"] = grid
    content["id"] = grid
    item.write_text(json.dumps(content))
    said = place.tick()
    assert key_of("A") in place.scenes
    assert all(".." not in key and key.isascii() and len(key) <= 100 for key in place.scenes)
    assert "1 left out" in said or len(place.scenes) == 2


def test_what_a_person_named_is_not_made_again(place: Place) -> None:
    place.deliver("A")
    register(place.store, find_scenes(str(place.inbox)).scenes)
    place.instance.add_dynamic_partitions("scene", [key_of("A")])
    place.made("A")
    place.tick()
    assert place.asked == []


def test_a_place_that_is_missing_or_empty_is_a_readable_skip(place: Place) -> None:
    assert str(place.inbox) in place.tick()
    place.url = str(place.inbox / "missing")
    assert "does not exist" in place.tick()
    place.url = ""
    place.deliver("A")
    place.tick()
    assert place.scenes == {key_of("A")}
