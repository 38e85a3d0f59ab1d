"""The files of a release: whole, the same bytes for the same input, and readable by others."""

import hashlib
import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pystac
import pytest
from pydantic import ValidationError
from support.detections import around, scene, square

from darts_core.release import Look, ReleaseError, ReleaseParameters, SceneDetections, release_files, write_release
from darts_core.release.coverage import TILE_SIDE
from darts_core.vectors.schema import RELEASE_SCHEMA, require_schema

FAR = 3 * TILE_SIDE
SCENES = {
    "a": scene("a", [square(0), square(500), square(FAR)], "2021-07-01"),
    "b": scene("b", [square(20)], "2021-08-01"),
    "none": scene("none", []),
}
EXTENT = around(square(0), square(FAR))


def looks() -> dict[str, Look]:
    times = {"a": (7, 1), "b": (8, 1), "none": (9, 1)}
    return {name: Look(name, "S2", datetime(2021, *day, tzinfo=UTC), EXTENT) for name, day in times.items()}


def written(folder: Path, names: list[str] = [*SCENES], **options: Any) -> Path:  # noqa: B006  (never changed)
    folder.mkdir()
    write_release([SceneDetections(SCENES[name], looks()[name]) for name in names], folder, "2021", **options)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("release") / "made")


def test_a_release_is_all_its_files_and_nothing_else(made: Path) -> None:
    tiles = sorted(file.stem for file in (made / "slumps.parquet").iterdir())
    assert len(tiles) == 2
    assert sorted(file.stem for file in (made / "items").iterdir()) == tiles
    files = {"slumps.gpkg", "coverage.tif", "map.html", "thumbnail.png", "collection.json"}
    assert {path.name for path in made.iterdir()} == files | {"slumps.parquet", "items"}


def test_the_same_scenes_in_any_order_are_the_same_bytes(made: Path, tmp_path: Path) -> None:
    again = written(tmp_path / "again", ["none", "b", "a"], cell_m=130.0)
    for file in made.rglob("*.*"):
        if file.is_file():
            same = again / file.relative_to(made)
            assert hashlib.sha256(file.read_bytes()).digest() == hashlib.sha256(same.read_bytes()).digest(), file


def test_every_look_counts_also_one_that_found_nothing(made: Path) -> None:
    slumps = gpd.read_parquet(made / "slumps.parquet").set_index("id")
    assert slumps["looks"].tolist() == [3, 3, 3]
    assert slumps["observations"].sort_index().tolist() == [2, 1, 1]
    np.testing.assert_allclose(slumps["detection_rate"], slumps["observations"] / 3)


def test_the_dataset_is_geoparquet_and_read_by_a_window(made: Path) -> None:
    slumps = gpd.read_parquet(made / "slumps.parquet")
    require_schema(slumps, RELEASE_SCHEMA, "the release")
    window = gpd.read_parquet(made / "slumps.parquet", bbox=square(490, -10, 200).bounds)
    assert window["id"].tolist() == ["a-1"]
    for file in (made / "slumps.parquet").iterdir():
        told = json.loads(pq.read_schema(file).metadata[b"geo"])
        assert told["version"] == "1.1.0"
        assert "bbox" in told["columns"]["geometry"]["covering"]
    package = gpd.read_file(made / "slumps.gpkg", layer="slumps")
    assert list(package.columns) == list(slumps.columns)
    areas = [dict(zip(frame["id"], frame.area, strict=True)) for frame in (package, slumps)]
    assert areas[0] == pytest.approx(areas[1])


def test_the_collection_and_its_items_are_stac(made: Path) -> None:
    collection = pystac.Collection.from_file(str(made / "collection.json"))
    assert collection.id == "thaw-slumps-2021"
    ((west, south, east, north),) = collection.extent.spatial.bboxes
    assert -180 <= west < east <= 180
    assert 50 <= south < north <= 90
    ((start, end),) = collection.extent.temporal.intervals
    assert (start.month, end.month) == (7, 8)
    for asset in collection.assets.values():
        assert (made / asset.href).exists()
    items = [*collection.get_items()]
    assert sum(item.properties["slumps"] for item in items) == 3
    for item in items:
        assert Path(item.assets["parquet"].get_absolute_href() or "").exists()
        assert item.collection_id == collection.id
        assert item.bbox is not None


def test_people_say_title_licence_and_providers(tmp_path: Path) -> None:
    parameters = ReleaseParameters(title="RTS", license="CC-BY-4.0", providers={"Institute": "https://example.org"})
    told = json.loads((written(tmp_path / "told", parameters=parameters) / "collection.json").read_text())
    assert (told["title"], told["license"]) == ("RTS, 2021", "CC-BY-4.0")
    assert told["providers"] == [{"name": "Institute", "url": "https://example.org"}]


def test_nothing_found_is_a_release_too(tmp_path: Path) -> None:
    folder = written(tmp_path / "empty", ["none"])
    slumps = gpd.read_parquet(folder / "slumps.parquet")
    assert len(slumps) == 0
    require_schema(slumps, RELEASE_SCHEMA, "the release")
    assert len(gpd.read_file(folder / "slumps.gpkg")) == 0
    assert pystac.Collection.from_file(str(folder / "collection.json")).extent.temporal.intervals[0][0].year == 2021
    assert (folder / "coverage.tif").exists()
    assert "0 slumps" in (folder / "map.html").read_text()


def test_the_map_needs_nothing_but_itself(made: Path) -> None:
    page = (made / "map.html").read_text()
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)|https?://|@import|fetch\(|XMLHttpRequest""", page)
    assert page.count('class="tile"') == 2


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_a_browser_shows_every_slump(made: Path) -> None:
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom"]
    shown = subprocess.run([*command, (made / "map.html").as_uri()], capture_output=True, text=True, timeout=120)
    assert 'data-slumps="3"' in shown.stdout


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_a_slump_leads_back_to_its_scenes_and_models(made: Path, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    told = written(tmp_path / "told", parameters=ReleaseParameters(ui_address="https://darts.example.org/"))
    slumps = gpd.read_parquet(told / "slumps.parquet").set_index("id")
    link = "https://darts.example.org/assets/slump_polygons?view=partitions&partition="
    with sync_playwright() as play:
        page = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"]).new_page()
        for folder, linked in ((told, True), (made, False)):
            page.goto((folder / "map.html").as_uri())
            page.wait_for_selector("body[data-slumps='3']")
            shown = page.evaluate(SHOW_ALL)
            assert {one["id"] for one in shown} == set(slumps.index)
            for one in shown:
                scenes, models = (slumps.loc[one["id"]][name].split(",") for name in ("scenes", "models"))
                assert one["scenes"].split("\n") == scenes
                assert one["models"].split("\n") == [digest[:12] for digest in models]
                assert one["links"] == ([link + scene for scene in scenes] if linked else [])


SHOW_ALL = """async () => {
  const shown = [], panel = document.getElementById("slump");
  for (const tile of tiles) for (let i = 0; i < tile.n; i++) {
    chosen = { tile, i }; show();
    while (!tile.details || panel.querySelector("td:nth-child(2)")?.textContent !== tile.details.ids[i])
      await new Promise(again => setTimeout(again, 20));
    const rows = Object.fromEntries([...panel.querySelectorAll("tr")].map(
      row => [...row.cells].map(cell => cell.innerText.trim())));
    shown.push({ ...rows, links: [...panel.querySelectorAll("a")].map(link => link.href) });
  }
  return shown;
}"""


@pytest.mark.parametrize("address", ["javascript:alert(1)", "darts.example.org", 'https://a"><script>'])
def test_only_a_web_address_is_linked_to(address: str) -> None:
    with pytest.raises(ValidationError, match="ui_address"):
        ReleaseParameters(ui_address=address)


@pytest.mark.parametrize("season", ["21", "summer", "2021-07"])
def test_a_season_is_a_year(season: str, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="four digits"):
        write_release([], tmp_path, season)


def test_extents_of_some_scenes_only_are_refused(tmp_path: Path) -> None:
    scenes = [SceneDetections(SCENES["a"], looks()["a"]), SceneDetections(SCENES["b"])]
    with pytest.raises(ReleaseError, match="extents of all scenes or of none"):
        write_release(scenes, tmp_path, "2021")


@pytest.fixture
def given(tmp_path: Path) -> tuple[list[Path], Path]:
    """Files of polygons and of extents."""
    files = [tmp_path / f"{name}.parquet" for name in SCENES]
    for file, frame in zip(files, SCENES.values(), strict=True):
        frame.to_parquet(file)
    facts = [(one.scene, one.sensor, one.acquired) for one in looks().values()]
    table = pd.DataFrame(facts, columns=["scene", "sensor", "acquired"])
    gpd.GeoDataFrame(table, geometry=[EXTENT] * len(table), crs=3413).to_parquet(tmp_path / "extents.parquet")
    return files, tmp_path / "extents.parquet"


def test_files_become_the_same_release(given: tuple[list[Path], Path], made: Path, tmp_path: Path) -> None:
    folder = release_files(given[0], tmp_path / "out" / "release", "2021", extents=given[1])
    for file in made.rglob("*.*"):
        if file.is_file():
            assert (folder / file.relative_to(made)).read_bytes() == file.read_bytes(), file
    after = release_files(given[0], tmp_path / "next", "2022", extents=given[1], previous=folder)
    slumps = gpd.read_parquet(after / "slumps.parquet")
    assert (slumps["status"] == "kept").all()
    assert pystac.Collection.from_file(str(after / "collection.json")).assets["retired"].href == "./retired.parquet"


def test_a_failed_release_leaves_nothing(given: tuple[list[Path], Path], tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ReleaseError, match="scene a is twice among the polygons"):
        release_files([*given[0], given[0][0]], tmp_path / "release", "2021", extents=given[1])
    with pytest.raises(ReleaseError, match="not a GeoParquet file"):
        release_files([given[0][0], tmp_path / "missing.parquet"], tmp_path / "release", "2021")
    assert sorted(tmp_path.iterdir()) == before
    (tmp_path / "release").mkdir()
    with pytest.raises(ReleaseError, match="exists already"):
        release_files(given[0], tmp_path / "release", "2021")
