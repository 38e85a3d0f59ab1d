"""Searching a STAC API: what is asked, what comes, and what a server may do wrong."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
import requests
from support.stac_server import StacServer, cut, unavailable
from werkzeug.wrappers import Response

from darts_core.catalogue import CatalogueError, Query, area_of, clearest, open_catalogue, period_of

Add = Callable[..., dict]


def keys(server: StacServer, *collections: str, **asked) -> list[str]:  # type: ignore[no-untyped-def]
    answer = open_catalogue(f"{server.url}/api", collections).search(Query(**asked))
    assert not answer.refusals
    return [found.scene.key for found in answer.found]


EXTENSIONS = [(), ("item-search#query",), ("item-search#filter",)]


@pytest.mark.parametrize("extensions", EXTENSIONS)
@pytest.mark.parametrize("queryables", [(), ("grid:code",)])
def test_tile_dates_and_limits_are_held_whatever_the_server_can_be_asked(
    server: StacServer, add_sentinel2: Add, extensions: tuple, queryables: tuple
) -> None:
    server.extensions, server.queryables = extensions, queryables
    for day, cloud in (("2021-07-01", 5), ("2021-07-11", 60), ("2021-08-01", 20), ("2021-08-11", None)):
        add_sentinel2(day=day, cloud=cloud)
    add_sentinel2("T08WMB", day="2021-07-02")
    found = keys(server, "sentinel-2-l2a", tiles=("08WMA",), max_cloud=30)
    assert found == ["T08WMA_20210701T210019_S2A", "T08WMA_20210801T210019_S2A"]
    start, end = period_of("2021-07")
    assert len(keys(server, "sentinel-2-l2a", tiles=("08WMA",), start=start, end=end)) == 2
    assert len(keys(server, tiles=("08WMA", "8WMB"))) == 5, "all pages are read"
    asked = server.searches[0]
    if extensions:
        said = str(asked.get("query") or asked.get("filter"))
        assert "eo:cloud_cover" in said
        assert ("MGRS-8WMA" in said) == bool(queryables)


def test_snow_area_and_collections(server: StacServer, add_sentinel2: Add, add_landsat: Add) -> None:
    add_sentinel2(**{"s2:snow_ice_percentage": 40})
    add_sentinel2("T29UNU", day="2021-08-02", **{"s2:snow_ice_percentage": 1})
    add_landsat()
    assert keys(server, max_snow=10) == ["T29UNU_20210802T210019_S2A"]
    assert len(keys(server, area=area_of("-135.9,67.9,-135.8,68"))) == 2
    (landsat,) = keys(server, "landsat-c2-l2")
    assert landsat == "063012_20210821T201100_LC08"


def test_the_clearest_of_what_was_found(server: StacServer, add_sentinel2: Add) -> None:
    for day, cloud in (("2021-07-01", 70), ("2021-07-11", 6), ("2021-08-01", 90)):
        add_sentinel2(day=day, cloud=cloud)
    answer = open_catalogue(f"{server.url}/api").search(Query())
    assert [one.cloud for one in clearest(answer.found)] == [6]
    assert [one.cloud for one in clearest(answer.found, "month")] == [6, 90]


def test_a_busy_server_and_a_cut_answer_are_asked_again(server: StacServer, add_sentinel2: Add) -> None:
    add_sentinel2()
    server.fail("/api/search", unavailable, cut, unavailable)
    assert len(keys(server)) == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda: Response("<html>hello</html>", 200), "does not answer as a STAC API"),
        (lambda: Response("no", 403), "does not answer as a STAC API"),
        (lambda: Response('{"type": "Catalog", "id": "x", "stac_version": "1.0.0"', 200), "does not answer"),
    ],
)
def test_a_server_that_is_no_stac_api_is_named(server: StacServer, answer, said: str) -> None:  # type: ignore[no-untyped-def]
    server.fail("/api", answer)
    with pytest.raises(CatalogueError, match=rf"{server.url}/api {said}.*Check the address"):
        keys(server)


def test_an_unreachable_or_silent_server_is_named(
    server: StacServer, add_sentinel2: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CatalogueError, match=r"127\.0\.0\.1:9/api does not answer"):
        open_catalogue("http://127.0.0.1:9/api").search(Query())
    add_sentinel2()
    monkeypatch.setattr("darts_core.catalogue.api.TIMEOUT", 0.2)
    server.fail("/api/search", *[_late] * 9)
    with pytest.raises(CatalogueError, match=r"does not answer.*timed out"):
        keys(server)


def _late() -> Response:
    """Who waits long enough gets a sound answer: nothing found."""
    time.sleep(0.6)
    return Response('{"type": "FeatureCollection", "features": [], "links": []}', 200)


def test_more_than_the_limit_is_an_error_and_not_a_part(server: StacServer, add_sentinel2: Add) -> None:
    for day in range(1, 6):
        add_sentinel2(day=f"2021-07-0{day}")
    with pytest.raises(CatalogueError, match="more than 3 scenes"):
        keys(server, limit=3)
    assert len(keys(server, limit=5)) == 5


def test_a_next_page_on_another_host_is_not_followed(
    server: StacServer, add_sentinel2: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_sentinel2()
    page = {
        "type": "FeatureCollection",
        "features": [server.items[0]],
        "links": [{"rel": "next", "href": "http://169.254.169.254/latest/meta-data", "method": "GET"}],
    }
    server.fail("/api/search", lambda: Response(json.dumps(page), 200))
    with pytest.raises(CatalogueError, match=r"169\.254\.169\.254.*not followed"):
        keys(server)


def test_an_item_that_is_no_scene_is_refused_by_name_and_the_others_are_found(
    server: StacServer, add_sentinel2: Add
) -> None:
    add_sentinel2()
    add_sentinel2(day="2021-08-22")["assets"] = {"thumbnail": {"href": "t.jpg", "type": "image/jpeg"}}
    answer = open_catalogue(f"{server.url}/api").search(Query())
    assert len(answer.found) == 1
    assert "describes no band of reflectance" in answer.refusals[0].reasons["stac"]


def test_the_server_of_these_tests_answers_ranges(server: StacServer) -> None:
    (server.folder / "a.bin").write_bytes(bytes(range(100)))
    answer = requests.get(f"{server.url}/files/a.bin", headers={"Range": "bytes=10-19"}, timeout=5)
    assert (answer.status_code, answer.content) == (206, bytes(range(10, 20)))
