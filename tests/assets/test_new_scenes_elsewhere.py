"""The sensor on an object store and on a STAC API, also where these do not answer."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import fsspec
import pytest
from botocore.exceptions import EndpointConnectionError
from support.arrivals import Place
from support.deliveries import key_of, write_delivery
from support.stac_server import StacServer, serving, unavailable

import darts_core.scenes.arrivals as arrivals
from darts_core.scenes import find_scenes
from io_managers.base import StoreResource
from resources.scenes import WatchedPlace, registered


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "inbox").mkdir()
    with dg.instance_for_test() as instance:
        yield Place(instance, tmp_path / "inbox", StoreResource(root=str(tmp_path / "products")))


class TestS3:
    """A prefix."""

    @pytest.fixture
    def bucket(self, place: Place, s3: str) -> str:
        url = f"s3://inbox-{uuid.uuid4().hex}"
        self.fs = fsspec.filesystem("s3", endpoint_url=s3, use_listings_cache=False)
        self.fs.mkdir(url)
        place.watched = WatchedPlace(url=f"{url}/scenes", endpoint_url=s3)
        return url

    def upload(self, place: Place, bucket: str, *tiles: str, content: int = 0) -> None:
        place.deliver(*tiles, content=content)
        for tile in tiles:
            for file in (place.inbox / tile).iterdir():
                self.fs.put_file(str(file), f"{bucket}/scenes/{tile}/{file.name}")

    def test_scenes_arrive_and_come_anew(self, place: Place, bucket: str) -> None:
        self.upload(place, bucket, "A", "2023/B")
        place.tick()
        assert place.scenes == {key_of("A"), key_of("B")}
        assert registered(place.store, key_of("A")).url.startswith(f"{bucket}/scenes/A")
        assert "2 deliveries known" in place.tick()
        place.report_made("A", version="another")
        self.upload(place, bucket, "A", content=7)
        self.upload(place, bucket, "C")
        place.tick()
        place.tick()
        assert len(place.scenes) == 3
        assert [request.partition_key for request in place.asked] == [key_of("A")]

    def test_of_many_new_folders_some_are_listed_at_a_time(
        self, place: Place, bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(arrivals, "_LISTED", 2)
        self.upload(place, bucket, *"ABCDE")
        counts = []
        for _ in range(3):
            place.tick()
            counts.append(len(place.scenes))
        assert counts == [2, 4, 5]

    def test_one_that_does_not_answer_is_a_reason_and_then_goes_on(
        self, place: Place, bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("darts_core.remote._ATTEMPTS", 1)
        monkeypatch.setattr("darts_core.remote._REPEATS", 1)
        self.upload(place, bucket, "A")
        answering = place.watched
        place.watched = WatchedPlace(url=f"{bucket}/scenes", endpoint_url="http://127.0.0.1:1")
        assert "cannot be reached" in place.tick()
        assert "s3_endpoint" in place.tick()
        place.watched = answering
        place.tick()
        assert place.scenes == {key_of("A")}

    def test_one_that_breaks_off_in_the_middle_keeps_what_was_found(
        self, place: Place, bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.upload(place, bucket, "A", "B", "C")
        asked: list[str] = []

        def find_once(url: str, options: Any = None) -> Any:
            asked.append(url)
            if len(asked) > 1:
                raise EndpointConnectionError(endpoint_url="http://s3")
            return find_scenes(url, options)

        monkeypatch.setattr(arrivals, "find_scenes", find_once)
        said = place.tick()
        assert "Registered 1 scenes" in said
        assert "cannot be reached" in said
        assert place.scenes == {key_of("A")}
        monkeypatch.undo()
        place.tick()
        assert place.scenes == {key_of("A"), key_of("B"), key_of("C")}


class TestStac:
    """A search."""

    @pytest.fixture
    def server(self, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StacServer]:
        monkeypatch.setattr("darts_core.web.PAUSE", 0.01)
        monkeypatch.setattr("darts_core.catalogue.api.PAUSE", 0.01)
        (tmp_path / "www").mkdir()
        with serving(tmp_path / "www") as started:
            place.watched = WatchedPlace(
                url=f"{started.url}/api",
                collections=["sentinel-2-l2a"],
                tiles=["08WMA"],
                dates="2021-06/2021-09",
                max_cloud=50,
            )
            yield started

    def add(self, server: StacServer, day: str, cloud: float = 5, name: str = "made") -> None:
        write_delivery(server.folder / f"{name}-{day}", "image")
        bands = [{"name": band, "raster:scale": 1e-4, "raster:offset": 0} for band in ("blue", "green", "red", "nir")]
        image = {"href": f"{server.url}/files/{name}-{day}/image.tif", "type": "image/tiff", "roles": ["data"]}
        properties = {"datetime": f"{day}T21:00:19Z", "platform": "made-up", "grid:code": "MGRS-8WMA"}
        server.items.append(
            {
                "type": "Feature",
                "stac_version": "1.1.0",
                "id": f"{name}-{day}",
                "collection": "sentinel-2-l2a",
                "geometry": {"type": "Point", "coordinates": [-135.9, 67.9]},
                "links": [],
                "assets": {"image": {**image, "bands": bands}},
                "properties": {**properties, "eo:cloud_cover": cloud},
            }
        )

    def key(self, day: str) -> str:
        return f"T08WMA_{day.replace('-', '')}T210019_made-up"

    def test_what_is_found_becomes_scenes_also_what_appears_late(self, place: Place, server: StacServer) -> None:
        self.add(server, "2021-07-01")
        self.add(server, "2021-08-20")
        self.add(server, "2021-08-21", cloud=90)
        self.add(server, "2022-08-01")
        place.tick()
        assert place.scenes == {self.key("2021-07-01"), self.key("2021-08-20")}
        self.add(server, "2021-08-02")  # within the overlap
        server.searches.clear()
        place.tick()
        assert self.key("2021-08-02") in place.scenes
        assert all("2021-07-01" not in str(asked["datetime"]) for asked in server.searches)

    def test_a_later_product_of_an_acquisition_is_a_delivery_anew(self, place: Place, server: StacServer) -> None:
        self.add(server, "2021-07-01")
        place.tick()
        place.report_made(self.key("2021-07-01"), version="another")
        self.add(server, "2021-07-01", name="remade")
        for _ in range(3):
            place.tick()
        assert [request.partition_key for request in place.asked] == [self.key("2021-07-01")]
        assert "remade" in registered(place.store, self.key("2021-07-01")).url

    def test_a_search_without_bounds_is_refused_with_the_reason(self, place: Place, server: StacServer) -> None:
        place.watched = WatchedPlace(url=f"{server.url}/api", dates="2021")
        assert "`tiles` or `area`" in place.tick()
        assert not server.searches

    def test_one_that_does_not_answer_is_a_reason_and_then_goes_on(self, place: Place, server: StacServer) -> None:
        self.add(server, "2021-07-01")
        server.fail("/api", *[unavailable] * 8)
        assert "does not answer" in place.tick()
        server.failures.clear()
        server.fail("/api/search", *[unavailable] * 8)
        assert "does not answer" in place.tick()
        assert place.scenes == set()
        server.failures.clear()
        place.tick()
        assert place.scenes == {self.key("2021-07-01")}
