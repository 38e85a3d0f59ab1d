"""`darts-assets super-resolve`, as a person types it."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from click.testing import Result
from PIL import Image
from rasterio.features import geometry_mask
from support.deliveries import truncate, write_raster
from support.demo import DARTS_ASSETS, plain_environment
from typer.testing import CliRunner

from darts_assets.cli import app
from darts_core.superresolution.small import SmallUpscaler, UpscalerConfig, save_upscaler

CODES = ("B02", "B03", "B04", "B08")
ORIGIN = 500000, 5700000

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command in this process and in an empty working folder, with small windows; it ends without a traceback."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*words: object, code: int = 0) -> Result:
        given = ["super-resolve", "--model", "bicubic", "--window", 16, "--device", "cpu", *words]
        result = CliRunner(env={"COLUMNS": "200"}).invoke(app, list(map(str, given)))
        assert "Traceback" not in result.output
        assert result.exit_code == code, result.output
        return result

    return run


def write_scene(path: Path, shape: tuple[int, int] = (40, 52), bands: tuple[str, ...] = CODES, **profile) -> Path:
    """Random digital numbers at 10 m, described by Sentinel-2's codes; its upper left corner has no data."""
    rng = np.random.default_rng(shape[0])
    values = rng.integers(500, 4000, (len(bands), *shape)).astype("uint16")
    values[:, :5, :7] = 0
    return write_raster(path, values, bands, **{"nodata": 0, **profile})


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scene.tif")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pixels(path: Path) -> np.ndarray:
    """Codes (bands, y, x)."""
    with rasterio.open(path) as source:
        return source.read()


def files() -> list[str]:
    """What is in the working folder, also what is hidden."""
    return sorted(os.listdir())


def test_a_scene_becomes_a_raster_of_the_same_place(run: Run, scene: Path) -> None:
    with rasterio.open(scene, "r+") as source:
        source.update_tags(mission="here")
        source.update_tags(3, detector="7")
        bounds, crs = source.bounds, source.crs
    run(scene)
    assert files() == ["scene_sr.tif"]
    with rasterio.open("scene_sr.tif") as made:
        assert (made.bounds, made.crs, made.shape) == (bounds, crs, (160, 208))
        assert made.descriptions == ("blue", "green", "red", "nir")
        assert made.tags()["mission"] == "here"
        assert made.tags(3)["detector"] == "7"
        assert made.tags()["upscaler"] == "bicubic"
        nodata = made.read(1) == made.nodata
    assert nodata[:20, :28].all()
    assert nodata.sum() == 20 * 28


def test_factor_format_and_windows_are_as_asked_for(run: Run, scene: Path) -> None:
    run(
        scene, "--model", "nearest", "--factor", 3, "--format", "geotiff", "--out", "deep/three.tif", "--ramp", "cosine"
    )
    with rasterio.open("deep/three.tif") as made:
        assert (made.shape, made.compression, made.overviews(1)) == ((120, 156), None, [])
    numbers = pixels(scene)
    expected = np.where(numbers == 0, 0, numbers + 1000)
    np.testing.assert_array_equal(pixels(Path("deep/three.tif")), expected.repeat(3, 1).repeat(3, 2))


def test_a_cog_is_compressed(run: Run, scene: Path) -> None:
    run(scene)
    with rasterio.open("scene_sr.tif") as made:
        assert made.compression.value == "ZSTD"


def test_a_scene_finer_than_any_target_is_made_finer(run: Run, tmp_path: Path) -> None:
    """The model's factor decides, not the target resolution of the pipeline."""
    run(write_scene(tmp_path / "fine.tif", transform=Affine(1, 0, 500000, 0, -1, 5700000)))
    with rasterio.open("fine_sr.tif") as made:
        assert made.res == (0.25, 0.25)


def test_what_was_made_finer_can_be_made_finer_again(run: Run, scene: Path) -> None:
    run(scene, "--factor", 2)
    run("scene_sr.tif", "--factor", 2)
    with rasterio.open("scene_sr_sr.tif") as made:
        assert (made.res, made.tags()["factor"]) == ((2.5, 2.5), "2")
        assert (made.read(1) == 0).sum() == 20 * 28


def test_metadata_can_be_overruled(run: Run, tmp_path: Path) -> None:
    values = np.full((4, 20, 20), 50, "uint16") + np.arange(4, dtype="uint16")[:, None, None]
    values[:, 0, 0] = 7
    plain = write_raster(tmp_path / "plain.tif", values, nodata=50)
    exact = "--model", "nearest", "--factor", 1
    assert "band_order" in run(plain, *exact, code=1).output
    run(plain, *exact, "--band-order", "B04,B03,B02,B08", "--scale", 0.01, "--offset", -0.3, "--nodata", 7)
    made = pixels(Path("plain_sr.tif"))
    assert made[:, 5, 5].tolist() == [3200, 3100, 3000, 3300]
    assert np.argwhere(made == 0)[:, 1:].tolist() == [[0, 0]] * 4


def test_the_20_m_bands_are_a_second_mode(run: Run, tmp_path: Path) -> None:
    codes = ("B05", "B06", "B07", "B8A", "B11", "B12")
    run(write_scene(tmp_path / "twenty.tif", bands=codes), "--bands", "20m", "--factor", 2, "--preview")
    with rasterio.open("twenty_sr.tif") as made:
        assert made.count == 6
        assert made.shape == (80, 104)


def test_a_model_file_says_its_own_factor_and_bands(run: Run, scene: Path, tmp_path: Path) -> None:
    config = UpscalerConfig(factor=2, channels=4, depth=2)
    save_upscaler(SmallUpscaler(4, 2, 4, 2), config, tmp_path / "model.pt")
    run(scene, "--model", tmp_path / "model.pt")
    with rasterio.open("scene_sr.tif") as made:
        assert made.shape == (80, 104)
    assert "--factor" in run(scene, "--model", tmp_path / "model.pt", "--factor", 4, "--out", "x.tif", code=2).output


# where and what is written


def test_an_output_is_replaced_only_where_that_is_said(run: Run, scene: Path) -> None:
    Path("scene_sr.tif").write_text("mine")
    assert "--overwrite" in run(scene, code=2).output
    assert Path("scene_sr.tif").read_text() == "mine"
    run(scene, "--overwrite")
    assert pixels(Path("scene_sr.tif")).shape == (4, 160, 208)


def test_the_input_is_never_an_output(run: Run, scene: Path) -> None:
    before = digest(scene)
    assert "is read" in run(scene, "--out", scene, "--overwrite", code=2).output
    assert digest(scene) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--window", 3], "--window"),
        (["--border", 9, "--overlap", 12], "overlap must exceed twice the border"),
        (["--model", "nothing"], "nearest, bilinear, bicubic"),
        (["--device", "cuda:9"], "cuda:9"),
        (["--keep-shards"], "--mode shards"),
        (["--mode", "shards", "--first", 3], "--first"),
        (["--excerpt-at", "1,2"], "--excerpt"),
        (["--preview", "--excerpt-at", "1;2"], "x,y"),
        (["--aoi", "5,5,1,1"], "minx < maxx"),
        (["--aoi", "nowhere.geojson"], "nowhere.geojson"),
        (["--aoi-crs", "EPSG:4326"], "--aoi"),
    ],
)
def test_wrong_usage_is_said_before_any_work(run: Run, scene: Path, words: list[object], said: str) -> None:
    assert said in run(scene, *words, code=2).output
    assert files() == []


def test_of_many_scenes_a_broken_one_does_not_stop_the_rest(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    write_scene(folder / "a.tif")
    truncate(write_scene(folder / "b.tif", (300, 300)))
    for code in CODES:
        write_scene(folder / "mosaic" / f"{code}.tif", bands=(code,))
    output = run(folder, write_scene(tmp_path / "c.tif"), "--out", "done", code=1).output
    assert sorted(os.listdir("done")) == ["a_sr.tif", "c_sr.tif", "mosaic_sr.tif"]
    assert "b.tif" in output[output.index("Failed") :]
    assert output.count(" kB │") == 3
    assert output.count("│ failed") == 1


def test_many_scenes_need_a_folder_and_names_of_their_own(run: Run, tmp_path: Path) -> None:
    first, second = write_scene(tmp_path / "a.tif"), write_scene(tmp_path / "other" / "a.tif")
    assert "folder" in run(first, second, "--out", "x.tif", code=2).output
    assert "one name" in run(first, second, code=2).output
    assert "does not exist" in run(first, "missing.tif", code=2).output


def test_a_partial_run_says_so_and_leaves_the_rest_empty(run: Run, scene: Path) -> None:
    run(scene, "--first", 2)
    with rasterio.open("scene_sr.tif") as made:
        assert "first 2 windows" in made.tags()["partial_run"]
        data = made.read(1) != 0
    assert data.any()
    assert not data[64:].any()


# an area of interest


def test_a_box_becomes_whole_pixels(run: Run, scene: Path) -> None:
    run(scene, "--aoi", f"{ORIGIN[0] + 101},{ORIGIN[1] - 210},{ORIGIN[0] + 299},{ORIGIN[1] - 150}")
    with rasterio.open("scene_sr.tif") as made:
        assert tuple(made.bounds) == (ORIGIN[0] + 100, ORIGIN[1] - 210, ORIGIN[0] + 300, ORIGIN[1] - 150)
    west, south, east, north = rasterio.warp.transform_bounds(32631, 4326, *made.bounds)
    run(scene, "--aoi", f"{west},{south},{east},{north}", "--aoi-crs", "EPSG:4326", "--out", "again.tif")
    with rasterio.open("again.tif") as again:
        assert shapely.box(*again.bounds).contains(shapely.box(*made.bounds))
        assert again.shape[0] < 2 * made.shape[0]


def test_outside_polygons_is_nodata(run: Run, scene: Path) -> None:
    triangle = shapely.Polygon([(ORIGIN[0] + x, ORIGIN[1] - y) for x, y in ((150, 120), (395, 250), (133, 333))])
    feature = {"type": "Feature", "properties": {"name": None}, "geometry": shapely.geometry.mapping(triangle)}
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32631"}}
    Path("field.geojson").write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]}))
    run(scene, "--aoi", "field.geojson")
    with rasterio.open("scene_sr.tif") as made:
        coarse = made.transform @ Affine.scale(4)
        expected = geometry_mask([triangle], (made.height // 4, made.width // 4), coarse, all_touched=True)
        np.testing.assert_array_equal(made.read(4) == 0, expected.repeat(4, 0).repeat(4, 1))
    run(scene, "--out", "whole.tif")
    with rasterio.open("whole.tif") as whole:
        window = whole.window(*made.bounds).round_offsets().round_lengths()
        inside = pixels(Path("scene_sr.tif"))
        difference = np.abs(whole.read(window=window).astype(int) - inside)[:, 8:-8, 8:-8]
    assert difference[inside[:, 8:-8, 8:-8] > 0].max() <= 1, "a polygon hides nothing from the model"


def test_an_area_elsewhere_is_refused(run: Run, scene: Path) -> None:
    output = run(scene, "--aoi", "0,0,1,1", "--aoi-crs", "EPSG:4326", code=1).output
    assert "outside the scene" in output
    assert "500000,5699600,500520,5700000" in output


# a look at it


def test_previews_and_excerpts_are_cut_from_the_finished_raster(run: Run, scene: Path) -> None:
    run(scene, "--preview", "--excerpt", 12, "--excerpt-at", f"{ORIGIN[0] + 300},{ORIGIN[1] - 200}")
    before, after = (Image.open(f"scene_sr_preview_{name}.png") for name in ("lr", "sr"))
    assert before.size == after.size == (48, 48)
    blocks = np.asarray(before).reshape(12, 4, 12, 4, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()
    with rasterio.open("scene_sr_excerpt_lr.tif") as coarse, rasterio.open("scene_sr_excerpt_sr.tif") as fine:
        assert (coarse.shape, fine.shape) == ((12, 12), (48, 48))
        assert coarse.bounds == fine.bounds == (ORIGIN[0] + 240, ORIGIN[1] - 260, ORIGIN[0] + 360, ORIGIN[1] - 140)
        np.testing.assert_array_equal(fine.read(), pixels(Path("scene_sr.tif"))[:, 56:104, 96:144])
        np.testing.assert_array_equal(coarse.read(), pixels(scene)[:, 14:26, 24:36] + 1000)


def test_without_a_place_a_preview_shows_data(run: Run, tmp_path: Path) -> None:
    values = np.zeros((4, 90, 90), "uint16")
    values[:, 60:, :30] = 1000
    run(write_raster(tmp_path / "edge.tif", values, CODES, nodata=0), "--preview", "--excerpt", 20)
    assert (pixels(Path("edge_sr_excerpt_sr.tif")) > 0).mean() > 0.8


def test_a_place_outside_the_scene_is_refused(run: Run, scene: Path) -> None:
    assert "column -50" in run(scene, "--excerpt", 8, "--excerpt-at", f"{ORIGIN[0] - 500},{ORIGIN[1]}", code=1).output
    assert files() == [], "refused before the work"


@pytest.mark.parametrize("mode", ["direct", "shards"])
def test_a_dry_run_says_what_it_takes_and_writes_nothing(run: Run, scene: Path, mode: str) -> None:
    Path("scene_sr.tif").write_text("mine")
    output = run(scene, "--dry-run", "--mode", mode).output
    assert "24, of which 24 are predicted" in output
    assert "208 x 160 pixels, 266.2 kB uncompressed" in output
    assert ("1, 786.4 kB before compression" if mode == "shards" else "0, 0 bytes") in output
    assert "estimated from" in output
    assert files() == ["scene_sr.tif"]
    assert Path("scene_sr.tif").read_text() == "mine"


# shards and kills


def test_both_modes_make_the_same_bytes_and_shards_are_removed_or_kept(run: Run, scene: Path) -> None:
    run(scene, "--out", "direct.tif")
    run(scene, "--mode", "shards", "--out", "shards.tif")
    run(scene, "--mode", "shards", "--out", "kept.tif", "--keep-shards", "--batch-size", 3)
    assert files() == ["direct.tif", "kept.tif", "kept.tif.shards", "shards.tif"]
    assert digest(Path("direct.tif")) == digest(Path("shards.tif")) == digest(Path("kept.tif"))
    again = run(scene, "--mode", "shards", "--out", "kept.tif", "--overwrite")
    assert "predicted" not in again.output
    assert "stitched: windows 24 of 24" in again.output
    assert not Path("kept.tif.shards").exists()


def test_shards_of_other_settings_are_never_mixed(run: Run, scene: Path) -> None:
    kept = "--mode", "shards", "--keep-shards", "--out", "a.tif", "--overwrite"
    changed = scene, write_scene(scene.parent / "new" / "scene.tif")
    for number, words in enumerate(
        [(), ("--model", "nearest"), ("--window", 24), ("--scale", 2e-4), ("--aoi", "500100,5699700,500300,5699900")], 1
    ):
        run(changed[0], *kept, *words)
        assert len(list(Path("a.tif.shards/sr_patches/scene").glob("*/"))) == number
    output = run(changed[1], "--mode", "shards", "--out", "a.tif", "--overwrite").output
    assert "predicted: windows 24 of 24" in output
    assert "a.tif.shards holds shards of runs with other settings" in output
    assert len(list(Path("a.tif.shards/sr_patches/scene").glob("*/"))) == 5


def wait_for(condition: Callable[[], object], process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_a_killed_run_goes_on_to_the_same_bytes(run: Run, tmp_path: Path) -> None:
    big = write_scene(tmp_path / "big.tif", (250, 250))
    out = Path("big.tif")
    out.write_text("previous")
    words = [str(big), "--mode", "shards", "--shard-mb", "1", "--out", str(out), "--overwrite"]
    command = [DARTS_ASSETS, "super-resolve", "--model", "bicubic", "--window", "16", "--device", "cpu", *words]

    def killed_when(condition: Callable[[], object]) -> None:
        with subprocess.Popen(command, env=plain_environment(), stdout=subprocess.PIPE, text=True) as process:
            wait_for(condition, process)
            process.kill()
        assert out.read_text() == "previous"

    def published() -> dict[Path, int]:
        return {
            file: file.stat().st_mtime_ns
            for part in Path("big.tif.shards").glob("sr_patches/scene/*/.parts/shard-*.json")
            for file in (part.parents[1] / part.stem).rglob("*")
            if file.is_file()
        }

    killed_when(published)
    before = published()
    killed_when(lambda: Path(".big.tif.part").exists())
    manifest = next(Path("big.tif.shards").glob("sr_patches/scene/*/manifest.json"))
    assert {file: file.stat().st_mtime_ns for file in before} == before, "a published shard was made again"
    names = {name.partition("/")[0] for name in json.loads(manifest.read_text())["objects"]}
    assert len(names - {"index.json"}) > len({file.relative_to(manifest.parent).parts[0] for file in before})
    output = run(*words).output
    assert "predicted" not in output
    assert files() == ["big.tif"]
    run(big, "--out", "undisturbed.tif")
    assert digest(out) == digest(Path("undisturbed.tif"))


@pytest.mark.parametrize(
    ("mode", "begun", "left"),
    [
        (["direct"], ".big_sr.tif.part", []),
        (["shards", "--shard-mb", "1"], "*.shards/*/*/*/shard-00000", ["big_sr.tif.shards"]),
    ],
)
def test_an_interrupted_run_leaves_what_was_there(
    run: Run, tmp_path: Path, mode: list[str], begun: str, left: list[str]
) -> None:
    big = write_scene(tmp_path / "big.tif", (500, 500))
    out = Path("big_sr.tif")
    out.write_text("previous")
    over = threading.Event()

    def interrupt() -> None:
        while not any(Path().glob(begun)) and not over.is_set():
            time.sleep(0.001)
        time.sleep(0.02)
        if not over.is_set():
            signal.raise_signal(signal.SIGINT)

    watcher = threading.Thread(target=interrupt)
    # a shell that starts the tests in its background leaves SIGINT ignored
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    watcher.start()
    try:
        output = run(big, "--overwrite", "--mode", *mode, code=130).output
    finally:
        over.set()
        watcher.join()
        signal.signal(signal.SIGINT, before)
    assert "Stopped" in output
    assert out.read_text() == "previous"
    assert files() == ["big_sr.tif", *left]


def test_help_does_not_load_what_only_a_run_needs() -> None:
    code = "import darts_assets.cli, sys; print(sorted({'torch', 'xarray', 'rasterio', 'dask'} & sys.modules.keys()))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"
