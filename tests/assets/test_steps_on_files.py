"""The steps as commands on files, as a person types them: the same products as the assets, without store or history."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import pytest
import rasterio
import xarray as xr
from affine import Affine
from click.testing import Result
from support.demo import Demo
from typer.testing import CliRunner

from darts_assets.cli import app
from darts_core.files import read_product

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`darts-assets` in an empty working folder; it ends without a traceback."""
    monkeypatch.chdir(tmp_path)
    # cli.py leaves the home in the environment of the process, which outlives the command here
    monkeypatch.setenv("DARTS_HOME", str(tmp_path / "home"))

    def run(*words: object, code: int = 0) -> Result:
        result = CliRunner(env={"COLUMNS": "200"}).invoke(app, list(map(str, words)))
        assert "Traceback" not in result.output
        assert result.exit_code == code, result.output
        return result

    return run


def made_by_assets(demo: Demo, asset: str, key: str, file: str) -> Path:
    return Path(demo.store.current(asset, key).path(file))


def same(path: Path, other: Path, product: str) -> None:
    """Both hold the same values; attributes say by which way they were made."""
    xr.testing.assert_equal(read_product(path, product).load(), read_product(other, product).load())


def test_the_steps_make_what_the_assets_make(demo: Demo, checkpoints: Path, run: Run) -> None:
    world, key = demo.world, demo.planet
    auxiliary = ["--dem", world / "auxiliary" / "dem.tif", "--trends", world / "auxiliary" / "trends.tif"]
    run("preprocess", world / "scenes", "--out", "results", *auxiliary)
    assert sorted(os.listdir("results")) == sorted([key, demo.sentinel2])
    shutil.rmtree(Path("results", demo.sentinel2))
    folder = Path("results", key)
    shutil.copy(made_by_assets(demo, "sr_geotiff", key, "raster.tif"), folder / "super_resolved.tif")
    models = [word for path in sorted(checkpoints.glob("*.pt")) for word in ("--model", path)]
    run("segment", "results", *models, "--device", "cpu")
    run("ensemble", folder)
    run("postprocess", "results")
    said = run("vectorize", folder).output
    made = made_by_assets(demo, "preprocessed", key, "data.zarr")
    same(folder / "preprocessed.zarr", made, "preprocessed")
    for model in ("demo-native", "demo-super-resolved"):
        file = made_by_assets(demo, "segmentation_probabilities", key, f"{model}.tif")
        same(folder / f"probabilities-{model}.tif", file, "segmentation")
    same(folder / "ensemble.tif", made_by_assets(demo, "ensemble", key, "raster.tif"), "ensemble")
    mask = made_by_assets(demo, "segmentation_mask", key, "raster.tif")
    same(folder / "segmentation_mask.tif", mask, "postprocessed")
    slumps = gpd.read_parquet(folder / "slump_polygons.parquet")
    expected = gpd.read_parquet(made_by_assets(demo, "slump_polygons", key, "slumps.parquet"))
    assert len(slumps) > 0
    assert f"{len(slumps)} slumps" in said
    columns = slumps.columns.drop("data_version")
    assert slumps[columns].equals(expected[columns])
    run("export", folder, "--out", "files", "--format", "geopackage", "--format", "stac", "--format", "thumbnail")
    assert sorted(path.name.removeprefix(f"{key}_") for path in Path("files").iterdir()) == [
        *("item.json", "slumps.gpkg", "thumbnail.png")
    ]
    run("release", "results", "--season", 2023, "--out", "release")
    assert len(gpd.read_parquet("release/slumps.parquet")) == len(slumps)
    with rasterio.open("release/coverage.tif") as coverage:
        assert coverage.read(1).max() == 1
    assert "release exists already" in run("release", "results", "--season", 2023, "--out", "release", code=2).output


def test_a_scene_that_fails_keeps_no_other_from_being_made(demo: Demo, run: Run, tmp_path: Path) -> None:
    run("preprocess", demo.world / "scenes", "--out", "results")
    whole, damaged = (tmp_path / "results" / key for key in (demo.planet, demo.sentinel2))
    shutil.copy(made_by_assets(demo, "ensemble", demo.planet, "raster.tif"), whole / "ensemble.tif")
    (damaged / "ensemble.tif").write_text("no raster")
    said = run("postprocess", "results", code=1).output
    assert "not a readable GeoTIFF" in said
    assert (whole / "segmentation_mask.tif").exists()
    assert sorted(os.listdir(damaged)) == ["ensemble.tif", "preprocessed.zarr"]


def test_what_is_missing_is_said_with_what_makes_it(demo: Demo, run: Run, tmp_path: Path) -> None:
    run("preprocess", demo.world / "scenes", "--out", "results")
    assert "run `darts-assets segment` on it first" in run("ensemble", "results", code=1).output
    assert "run `darts-assets ensemble` on it first" in run("postprocess", "results", code=1).output
    assert "run `darts-assets postprocess` on it first" in run("vectorize", "results", code=1).output
    (tmp_path / "empty").mkdir()
    assert "is no folder of a scene, and holds none" in run("ensemble", "empty", code=2).output


def test_a_scene_is_moved_onto_a_reference(demo: Demo, run: Run) -> None:
    """The reference is the scene's own red band, said to lie 6 m further east."""
    with rasterio.open(next((demo.world / "scenes").rglob("*AnalyticMS_SR_clip.tif"))) as source:
        red, profile = source.read(3), {**source.profile, "count": 1, "interleave": "band"}
    profile["transform"] = Affine.translation(6, 0) @ profile["transform"]
    with rasterio.open("reference.tif", "w", **profile) as target:
        target.write(red, 1)
    scene = next((demo.world / "scenes").glob("planet_order"))
    said = run("coregister", scene, "--reference", "reference.tif").output
    assert float(re.search(rf"{re.escape(demo.planet)}: (\S+) m along x", said)[1]) == pytest.approx(6, abs=0.3)
    run("preprocess", scene, "--out", "moved", "--reference", "reference.tif")
    moved = read_product(Path("moved", demo.planet, "preprocessed.zarr"), "preprocessed")
    there = read_product(made_by_assets(demo, "preprocessed", demo.planet, "data.zarr"), "preprocessed")
    assert moved.attrs["coregistration"] == "shifted"
    assert float(moved["x"][0] - there["x"][0]) == pytest.approx(6, abs=0.3)


def test_an_option_that_does_not_fit_is_named(run: Run) -> None:
    said = run("postprocess", "results", "--quality-level", 3, "--min-object-px", -1, code=2).output
    assert "--quality-level: Input should be less than or equal to 2, received 3" in said
    assert "--min-object-px: Input should be greater than or equal to 0, received -1" in said
