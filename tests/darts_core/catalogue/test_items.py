"""Scenes of a catalogue: read where they lie, fetched, and what hostile Items cannot do."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from support.stac_server import StacServer, cut, unavailable

from darts_core.catalogue import CatalogueError, Query, fetch, open_catalogue
from darts_core.scenes import Scene, SceneError, find_scenes, read_scene, scene_digest
from darts_core.scenes.itemfolder import resolve_href

Add = Callable[..., dict]


def the_scene(server: StacServer) -> Scene:
    (found,) = open_catalogue(f"{server.url}/api").search(Query()).found
    return found.scene


def test_a_scene_is_read_where_it_lies_number_by_number(server: StacServer, add_sentinel2: Add) -> None:
    item = add_sentinel2(files=True)
    scene = Scene.from_json(the_scene(server).to_json())
    raw = read_scene(scene)
    assert list(raw.data_vars) == ["blue", "green", "red", "nir", "scl"]
    for key in ("blue", "nir"):
        with rasterio.open(server.folder / item["id"] / f"{key}.tif") as raster:
            np.testing.assert_array_equal(raw[key].values, raster.read(1))
            assert raw.rio.transform() == raster.transform
    with rasterio.open(server.folder / item["id"] / "scl.tif") as raster:
        np.testing.assert_array_equal(raw["scl"].values, raster.read(1).repeat(2, 0).repeat(2, 1))
    assert raw["red"].attrs["_FillValue"] == 0
    assert raw.attrs["processing_level"] == "L2A"
    assert raw.attrs["scene"] == "T08WMA_20210821T210019_S2A"
    assert raw.attrs["stac_item"]["assets"]["red"]["href"] == item["assets"]["red"]["href"]
    swir = read_scene(scene, bands=["swir16"], resolution=20)
    assert swir.sizes["y"] == 550


def test_a_window_costs_what_it_holds(server: StacServer, add_sentinel2: Add) -> None:
    add_sentinel2(files=True)
    raw = read_scene(the_scene(server), bands=["red"])
    whole = os.path.getsize(next(server.folder.rglob("red.tif")))
    before = server.bytes_sent
    raw["red"][:64, :64].to_numpy()
    assert whole > 1_000_000
    assert server.bytes_sent - before < whole, "the chunk that is asked for, and no more"


@pytest.mark.parametrize(
    ("properties", "stated", "offset"),
    [
        ({"earthsearch:boa_offset_applied": True}, -0.1, 0.0),
        ({"earthsearch:boa_offset_applied": False}, -0.1, -0.1),
        ({"earthsearch:boa_offset_applied": False, "s2:processing_baseline": "03.01"}, -0.1, 0.0),
        ({"s2:processing_baseline": "05.09"}, None, -0.1),
        ({"s2:processing_baseline": "02.14"}, None, 0.0),
        ({"s2:processing_baseline": "05.09"}, 0.0, 0.0),
    ],
)
def test_the_offset_is_settled_by_the_item(
    server: StacServer, add_sentinel2: Add, properties: dict, stated: float | None, offset: float
) -> None:
    add_sentinel2(files=True, offset=stated, **properties)
    red = read_scene(the_scene(server))["red"]
    assert red.attrs["add_offset"] == offset
    assert red.attrs["scale_factor"] == 1e-4


def test_an_item_that_is_silent_about_the_offset_is_refused(server: StacServer, add_sentinel2: Add) -> None:
    add_sentinel2(files=True, offset=None)["properties"].pop("s2:processing_baseline")
    with pytest.raises(SceneError, match="nothing says whether the numbers have an offset"):
        read_scene(the_scene(server))


def test_landsat_has_its_own_scale_and_nir08_is_its_nir(server: StacServer, add_landsat: Add) -> None:
    add_landsat()
    raw = read_scene(the_scene(server))
    assert list(raw.data_vars) == ["blue", "green", "red", "nir", "qa_pixel"]
    assert raw["nir"].attrs["scale_factor"] == 2.75e-5
    assert raw["nir"].attrs["add_offset"] == -0.2
    assert (raw["nir"].values == 8003).all()
    assert (raw["qa_pixel"].values == 64).all()


def test_the_digest_follows_the_files_and_not_the_touch_of_the_catalogue(
    server: StacServer, add_sentinel2: Add
) -> None:
    item = add_sentinel2(files=True)
    scene = the_scene(server)
    before = scene_digest(scene)
    item["properties"]["updated"] = "2030-01-01T00:00:00Z"
    assert scene_digest(scene) == before
    path = server.folder / item["id"] / "red.tif"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    changed = scene_digest(scene)
    assert changed != before
    item["properties"]["earthsearch:boa_offset_applied"] = True
    assert scene_digest(scene) != changed


def test_what_was_fetched_is_found_again_as_the_same_scene(
    server: StacServer, add_sentinel2: Add, tmp_path: Path
) -> None:
    add_sentinel2(files=True, **{"earthsearch:boa_offset_applied": True})
    scene = the_scene(server)
    server.fail("/files/S2A_08WMA_20210821_0_L2A/blue.tif", unavailable)
    home = fetch(scene, tmp_path / "in")
    assert home == tmp_path / "in" / scene.key
    (again,) = find_scenes(str(tmp_path / "in")).scenes
    assert again.key == scene.key
    here, there = read_scene(again), read_scene(scene)
    for name in ("blue", "green", "red", "nir", "scl"):
        np.testing.assert_array_equal(here[name].values, there[name].values)
    assert here["red"].attrs["add_offset"] == 0.0
    assert here.attrs["processing_level"] == "L2A"
    asked = server.requests["GET /files/S2A_08WMA_20210821_0_L2A/red.tif"]
    fetch(scene, tmp_path / "in")
    assert server.requests["GET /files/S2A_08WMA_20210821_0_L2A/red.tif"] == asked, "what is there is kept"


def test_a_copy_that_does_not_come_whole_is_an_error_and_leaves_nothing(
    server: StacServer, add_sentinel2: Add, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = add_sentinel2(files=True)
    scene = the_scene(server)
    monkeypatch.setattr("darts_core.catalogue.fetching.RETRIES", 1)
    item["assets"]["green"]["file:checksum"] = "1220" + "00" * 32
    with pytest.raises(CatalogueError, match=r"green\.tif: its checksum is .* expected 12200000"):
        fetch(scene, tmp_path / "in")
    assert not list((tmp_path / "in").rglob("*.part"))
    assert not (tmp_path / "in" / scene.key / "green.tif").exists()
    assert find_scenes(str(tmp_path / "in")).scenes == ()


def test_a_body_that_breaks_off_is_asked_for_again(server: StacServer, add_sentinel2: Add, tmp_path: Path) -> None:
    add_sentinel2(files=True)
    scene = the_scene(server)
    # HEAD is answered first
    heads = [lambda: server.answer_file("S2A_08WMA_20210821_0_L2A/red.tif")]
    server.fail("/files/S2A_08WMA_20210821_0_L2A/red.tif", *heads, cut)
    assert (fetch(scene, tmp_path) / "red.tif").stat().st_size == next(server.folder.rglob("red.tif")).stat().st_size


@pytest.mark.parametrize(
    "href",
    [
        "",
        None,
        "/etc/passwd",
        "file:///etc/passwd",
        "ftp://host/a.tif",
        "https://user:secret@host/a.tif",
        "https://host/../../a.tif",
        "http://localhost/a.tif",
        "http://127.0.0.1:8080/a.tif",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/a.tif",
        "http://10.0.0.8/a.tif",
        "/vsicurl/http://host/a.tif",
        "https://host/a b.tif",
        "https:\\\\host\\a.tif",
        "zip:///tmp/a.zip!a.tif",
    ],
)
@pytest.mark.parametrize("item", ["/data/scene/item.json", "https://catalogue.org/v1/collections/a/items/b"])
def test_hostile_hrefs_are_not_followed(href: str | None, item: str) -> None:
    try:
        followed = resolve_href(href, item, "red")
    except SceneError:
        return
    # what is absolute on a web server is a path there
    assert followed.startswith("https://catalogue.org/")
    assert item.startswith("https")


def test_honest_hrefs_are_resolved() -> None:
    item = "https://catalogue.org/v1/collections/a/items/b"
    assert resolve_href("./red.tif", item, "red") == "https://catalogue.org/v1/collections/a/items/red.tif"
    assert resolve_href("s3://bucket/red.tif", item, "red") == "s3://bucket/red.tif"
    assert resolve_href("./red.tif", "s3://bucket/b/item.json", "red") == "s3://bucket/b/red.tif"
    assert resolve_href("./red.tif", "/data/scene/item.json", "red") == "/data/scene/red.tif"
    assert resolve_href("http://127.0.0.1:5/red.tif", "http://127.0.0.1:5/items/b", "red").endswith("/red.tif")
    with pytest.raises(SceneError, match="points outside the folder"):
        resolve_href("../red.tif", "/data/scene/item.json", "red")


def test_an_item_on_disk_and_one_in_s3_are_read_too(
    server: StacServer, add_sentinel2: Add, tmp_path: Path, s3: str
) -> None:
    import s3fs

    from darts_core.scenes.items import scene_of_item

    item = add_sentinel2(files=True)
    expected = read_scene(the_scene(server))["red"].values
    folder = server.folder / item["id"]
    for asset in item["assets"].values():
        asset["href"] = "./" + asset["href"].rsplit("/", 1)[1]
    (folder / "item.json").write_text(json.dumps(item))
    local = scene_of_item(item, str(folder / "item.json"))
    np.testing.assert_array_equal(read_scene(local)["red"].values, expected)
    options = {"endpoint_url": s3}
    filesystem = s3fs.S3FileSystem(**options)
    filesystem.makedirs("catalogue", exist_ok=True)
    filesystem.put(f"{folder}/", "catalogue/scene/", recursive=True)
    remote = scene_of_item(item, "s3://catalogue/scene/item.json")
    np.testing.assert_array_equal(read_scene(remote, storage_options=options)["red"].values, expected)
    assert scene_digest(remote, options) != scene_digest(local)
    assert (fetch(remote, tmp_path / "in", storage_options=options) / "nir.tif").is_file()


def test_an_item_or_asset_that_is_gone_is_named(server: StacServer, add_sentinel2: Add) -> None:
    item = add_sentinel2(files=True)
    scene = the_scene(server)
    next(server.folder.rglob("green.tif")).unlink()
    with pytest.raises(SceneError, match=r"asset 'green' .* cannot be reached"):
        read_scene(scene)
    server.items.remove(item)
    with pytest.raises(SceneError, match=r"The STAC Item http.* cannot be read.*Search again"):
        read_scene(scene)
