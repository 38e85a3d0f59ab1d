"""What the sensor makes of what arrives: each delivery once, whatever happens to ticks, cursor and index."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from support.arrivals import Place
from support.deliveries import key_of, write_delivery

from darts_assets.automation import new_scenes as module
from darts_assets.definitions import defs
from darts_assets.partitions import SEASONS, known
from darts_core.scenes import find_scenes
from darts_core.synthetic.world import World, make_world
from io_managers.base import StoreResource
from resources.scenes import WatchedPlace, register, registered


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


@pytest.mark.parametrize("grid", ["../../etc", "a/b", "a b", "x" * 120, "a;DROP", "..", ".hidden", "ä"])
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
    for key in place.scenes:
        assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}", key)
        assert ".." not in key
    # what is no name is refused with the reason, or was made one as the reader does with titles
    assert ("1 left out" in said) == (len(place.scenes) == 1)


def test_a_delivery_that_was_moved_is_found_there_and_not_made_again(place: Place) -> None:
    place.deliver("A")
    place.tick()
    place.made("A")
    (place.inbox / "A").rename(place.inbox / "moved")
    place.tick()
    place.tick()
    assert place.asked == []
    assert "/moved/" in registered(place.store, key_of("A")).url


@pytest.mark.parametrize("bad", ["link", "link inside", "garbage", "empty", "closed"])
def test_what_cannot_be_read_keeps_nothing_else_from_being_found(place: Place, bad: str) -> None:
    place.deliver("B")
    first = place.inbox / "A"
    if bad == "link":
        first.symlink_to(place.inbox / "nowhere")
    elif bad == "link inside":
        place.deliver("A")
        (first / "lost").symlink_to(place.inbox / "nowhere")
    else:
        first.mkdir(mode=0o000 if bad == "closed" else 0o755)
        if bad == "garbage":
            (first / "A.tif").write_bytes(b"no raster")
            (first / "A.json").write_text('{"type": "Feature", "stac_version": 1, "assets": [], "properties": 7}')
    place.tick()
    assert key_of("B") in place.scenes
    assert "No new scene" in place.tick()


def test_a_register_that_was_damaged_is_written_anew(place: Place) -> None:
    place.deliver("A")
    place.tick()
    place.store.write_bytes(place.store.path("scenes", f"{key_of('A')}.json"), b"{")
    (place.inbox.parent / "products" / "scenes" / "index.json").write_text("[")
    place.tick()
    assert registered(place.store, key_of("A")).tile == "A"


def test_a_store_that_does_not_answer_is_a_readable_skip(place: Place, s3: str) -> None:
    place.deliver("A")
    place.products = StoreResource(root="s3://no-such-bucket/products", endpoint_url="http://127.0.0.1:1")
    assert "cannot be reached" in place.tick()


def test_what_a_person_named_is_not_made_again(place: Place) -> None:
    place.deliver("A")
    register(place.store, find_scenes(str(place.inbox)).scenes)
    place.instance.add_dynamic_partitions("scene", [key_of("A")])
    place.made("A")
    place.tick()
    assert place.asked == []


def test_a_place_that_is_missing_or_empty_is_a_readable_skip(place: Place) -> None:
    assert str(place.inbox) in place.tick()
    place.watched = WatchedPlace(url=str(place.inbox / "missing"))
    assert "does not exist" in place.tick()
    place.watched = None
    place.deliver("A")
    place.tick()
    assert place.scenes == {key_of("A")}
