"""The examples in docs/, run as a user runs them."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import pytest
from support.demo import Demo, plain_environment

from darts_core.auxiliary import AuxiliarySources
from darts_core.ensemble import ensemble
from darts_core.postprocessing import postprocess
from darts_core.preprocessing.preprocess import preprocess
from darts_core.scenes import find_scenes, read_scene
from darts_core.segmentation import Segmenter
from darts_core.vectors.polygons import Origin, vectorize

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture
def native(checkpoints: Path, tmp_path: Path) -> Path:
    """A folder with the model that takes scenes as they were delivered."""
    folder = tmp_path / "models"
    folder.mkdir()
    shutil.copy(checkpoints / "demo-native.pt", folder)
    return folder


def dem(demo: Demo) -> Path:
    return demo.world / "auxiliary" / "dem.tif"


def ran(name: str, demo: Demo, models: Path, out: Path) -> dict[str, gpd.GeoDataFrame]:
    """What an example wrote, by scene."""
    out.mkdir()
    command = [sys.executable, str(EXAMPLES / name), *map(str, (demo.world / "scenes", models, dem(demo), out))]
    done = subprocess.run(command, capture_output=True, text=True, env=plain_environment(), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    frames = {path.stem: gpd.read_file(path) for path in out.glob("*.gpkg")}
    assert set(frames) == {demo.sentinel2, demo.planet}
    for key, frame in frames.items():
        assert f"{key}: {len(frame)} slumps" in done.stdout
    return frames


def test_a_pipeline_of_ones_own(demo: Demo, native: Path, tmp_path: Path) -> None:
    found = ran("custom_pipeline.py", demo, native, tmp_path / "out")
    assert all(len(frame) > 0 and frame.is_valid.all() for frame in found.values())


def test_on_ray_it_is_what_it_is_without(demo: Demo, native: Path, tmp_path: Path) -> None:
    # not imported here: how Ray lets one in is settled then, for the tests of clusters too
    if importlib.util.find_spec("ray") is None:
        pytest.skip("needs ray, which is not here")
    found = ran("on_ray.py", demo, native, tmp_path / "out")
    segmenter = Segmenter.load(native / "demo-native.pt")
    for scene in find_scenes(str(demo.world / "scenes")).scenes:
        dataset = preprocess(read_scene(scene), AuxiliarySources(dem=str(dem(demo)))).load()
        mask = postprocess(ensemble(segmenter.inference(dataset)), dataset["quality_level"])
        expected = vectorize(mask, Origin.of(dataset.attrs), dataset["quality_level"])
        assert list(found[scene.key]["id"]) == list(expected["id"])
        assert found[scene.key]["area_m2"].tolist() == expected["area_m2"].tolist()
