"""The command `search`: a table, the clearest, and files that are scenes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from support.deliveries import write_delivery
from support.stac_server import StacServer, serving
from typer.testing import CliRunner

from darts_assets.commands.search import search
from darts_core.scenes import find_scenes, read_scene
from resources.scenes import SceneSource

NAME = "S2A_08WMA_20210821_0_L2A"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StacServer]:
    monkeypatch.setenv("DARTS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "www").mkdir()
    write_delivery(tmp_path / "www" / NAME, "image")
    with serving(tmp_path / "www") as started:
        monkeypatch.setenv("DARTS_CATALOGUE", f"{started.url}/api")
        for day, cloud in (("2021-08-21", 4.5), ("2021-08-24", 70.0)):
            started.items.append(_item(started, day, cloud))
        yield started


def _item(server: StacServer, day: str, cloud: float) -> dict:
    bands = [{"name": name, "raster:scale": 1e-4, "raster:offset": 0} for name in ("blue", "green", "red", "nir")]
    image = {"href": f"{server.url}/files/{NAME}/image.tif", "type": "image/tiff", "roles": ["data"], "bands": bands}
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": f"made-{day}",
        "collection": "sentinel-2-l2a",
        "geometry": {"type": "Point", "coordinates": [-135.9, 67.9]},
        "links": [],
        "assets": {"image": image},
        "properties": {
            "datetime": f"{day}T21:00:19Z",
            "platform": "made-up",
            "grid:code": "MGRS-8WMA",
            "eo:cloud_cover": cloud,
            "eo:snow_cover": 2,
        },
    }


def run(*arguments: str):  # type: ignore[no-untyped-def]
    app = typer.Typer()
    app.command()(search)
    return CliRunner().invoke(app, list(arguments))


def test_a_table_of_what_the_catalogue_has(server: StacServer) -> None:
    result = run("--tile", "08WMA", "--dates", "2021")
    assert result.exit_code == 0, result.output
    assert "2 scenes" in result.output
    assert [line.split()[1:8:2] for line in result.output.splitlines() if "T08WMA" in line] == [
        ["T08WMA_20210821T210019_made-up", "2021-08-21", "4.5", "2.0"],
        ["T08WMA_20210824T210019_made-up", "2021-08-24", "70.0", "2.0"],
    ]


def test_the_clearest_is_fetched_and_is_a_scene(server: StacServer, tmp_path: Path) -> None:
    result = run("--clearest", "tile", "--fetch", str(tmp_path / "in"))
    assert result.exit_code == 0, result.output
    (scene,) = find_scenes(str(tmp_path / "in")).scenes
    assert scene.key == "T08WMA_20210821T210019_made-up"


def test_what_cannot_be_fetched_and_what_is_not_found_end_in_their_codes(server: StacServer, tmp_path: Path) -> None:
    next(server.folder.rglob("image.tif")).unlink()
    assert run("--fetch", str(tmp_path / "in")).exit_code == 1
    assert run("--max-cloud", "1").exit_code == 2
    assert run("--tile", "nowhere").exit_code == 2


def test_what_was_found_is_processed_where_it_lies(server: StacServer) -> None:
    """`scenes` and `run` take an Item's address; `raw_scene` then reads from there."""
    (address,) = {link for link in _addresses(run("--dates", "2021-08-21").output, server) if "2021-08-21" in link}
    (scene,) = SceneSource(url=address).find().scenes
    assert (scene.key, scene.url, scene.reader) == ("T08WMA_20210821T210019_made-up", address, "stac")
    with read_scene(scene) as dataset:
        assert {"blue", "green", "red", "nir"} <= set(dataset.data_vars)
        assert int(dataset["red"].max()) > 0


def _addresses(output: str, server: StacServer) -> list[str]:
    return [word for word in output.split() if word.startswith(server.url)]
