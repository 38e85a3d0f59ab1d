"""What a person on the command line reads when something is wrong: what, where, and what to do about it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from support.deliveries import BANDS, key_of, truncate, write_delivery
from support.models import WEIGHTS, write_checkpoint
from typer.testing import CliRunner

from darts_assets.cli import app
from darts_assets.partitions import SCENES, add
from darts_assets.runs import instance_of, run_job
from darts_core.store import Store
from resources.settings import Settings

Run = Callable[..., Result]


@pytest.fixture
def run(a_fresh_start: None, tmp_path: Path) -> Run:
    """`darts-assets run` in this process, in a home of its own, with what it printed as a wide terminal shows it."""

    def run(path: object, *options: object) -> Result:
        words = ["run", path, "--home", tmp_path / "home", *options]
        result = CliRunner(env={"COLUMNS": "200"}).invoke(app, list(map(str, words)))
        assert result.exception is None or isinstance(result.exception, SystemExit), "a traceback for the user"
        assert "Traceback" not in result.output
        return result

    return run


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one model that runs on any scene."""
    folder = tmp_path_factory.mktemp("models")
    write_checkpoint(folder / "bare-and-bright.pt")
    return folder


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A scene with nothing wrong about it."""
    return write_delivery(tmp_path / "scenes", "T08WMA").parent


def assert_told(result: Result, *words: object, code: int) -> None:
    """It failed with this exit code, and said these words where errors go."""
    assert result.exit_code == code, result.output
    for word in words:
        assert str(word) in result.stderr


def test_an_empty_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    told = run(tmp_path / "empty")
    assert_told(told, tmp_path / "empty", "holds no scene", ".SAFE folders", "GeoTIFFs", "found no other files", code=2)


def test_a_folder_that_does_not_exist(run: Run, tmp_path: Path) -> None:
    assert_told(run(tmp_path / "nowhere"), tmp_path / "nowhere", "does not exist", "Expected a folder", code=2)


def test_an_object_store_that_does_not_answer(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ATTEMPTS", "REPEATS"):
        monkeypatch.setattr(f"darts_core.remote._{name}", 1)
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "testing")
    monkeypatch.setenv("DARTS_S3_ENDPOINT", "http://127.0.0.1:9")
    told = run("s3://bucket/scenes")
    assert_told(told, "s3://bucket/scenes cannot be reached", "127.0.0.1:9", "Check", "credentials", code=2)


def test_a_geotiff_that_nothing_describes(run: Run, scene: Path) -> None:
    (scene / "T08WMA.json").unlink()
    told = run(scene)
    assert_told(told, "No scene to process", code=2)
    assert f"left out {scene / 'T08WMA.tif'}" in told.stdout
    assert "no STAC Item beside it: expected 'T08WMA.json'" in told.stdout


def test_wrong_scenes_are_named_one_by_one_and_keep_no_other_from_being_processed(
    run: Run, models: Path, tmp_path: Path
) -> None:
    scenes = tmp_path / "scenes"
    write_delivery(scenes, "good")
    write_delivery(scenes, "blind", bands=BANDS[:3])
    write_delivery(scenes, "nowhere", crs=None)
    truncate(write_delivery(scenes, "cut"))
    done = run(scenes, "--checkpoints", models)
    assert done.exit_code == 1
    told = {line.split()[0]: line for line in done.stderr.splitlines() if " raw_scene: " in line}
    expected = {
        "blind": ("expected the bands blue, green, red, nir", "nir missing", "has blue, green, red"),
        "nowhere": ("has no CRS", "gdal_edit.py -a_srs", "deliver it again"),
        "cut": ("is truncated", "bytes", "Deliver it again"),
    }
    assert set(told) == {key_of(name) for name in expected}
    for name, words in expected.items():
        for word in (str(scenes / f"{name}.tif"), *words):
            assert word in told[key_of(name)]
    store = Store(str(tmp_path / "home" / "products"))
    assert store.partitions("slump_polygons") == [key_of("good")]
    assert store.partitions("slump_dataset") == ["2021"]
    for asset in ("raw_scene", "preprocessed"):
        assert store.partitions(asset) == [key_of("good")]


def test_a_model_whose_bands_the_scene_lacks(run: Run, scene: Path, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    write_checkpoint(tmp_path / "models" / "terrain.pt", weights={**WEIGHTS, "relative_elevation": 1.0})
    told = run(scene, "--checkpoints", tmp_path / "models")
    words = ("Model terrain does not fit", "wants the bands ndvi, red, green, relative_elevation")
    assert_told(told, key_of("T08WMA"), *words, "lacks relative_elevation", "Configure the auxiliary data", code=1)


def test_a_file_that_is_no_checkpoint(run: Run, scene: Path, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "letter.pt").write_text("Dear reader, this is no checkpoint. " * 20)
    told = run(scene, "--checkpoints", tmp_path / "models")
    assert_told(told, tmp_path / "models" / "letter.pt", "is not a checkpoint", '{"config": …, "statedict"', code=1)
    assert "weights_only=True" not in told.stderr, "what torch tells its developers"


def test_no_model_at_all(run: Run, scene: Path, tmp_path: Path) -> None:
    told = run(scene, "--checkpoints", tmp_path / "models")
    assert_told(told, "no segmentation model", tmp_path / "models", "found none", "segmentation_model", code=2)


def test_an_unknown_upscaler(run: Run, scene: Path, models: Path) -> None:
    told = run(scene, "--checkpoints", models, "--upscaler", "magic")
    assert_told(told, "'magic'", "nearest, bilinear, bicubic", "super_resolution_model", code=2)


def test_a_device_that_is_not_there(run: Run, scene: Path, models: Path) -> None:
    assert_told(
        run(scene, "--checkpoints", models, "--device", "cuda:99"), "'cuda:99'", "expected 'auto' or one of cpu", code=2
    )


def test_an_elevation_raster_that_is_not_there(run: Run, scene: Path, models: Path, tmp_path: Path) -> None:
    told = run(scene, "--checkpoints", models, "--dem", tmp_path / "dem.tif")
    assert_told(told, tmp_path / "dem.tif", "cannot be opened", "Check the address", code=2)


def test_a_home_that_is_a_file(run: Run, scene: Path, models: Path, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("not a folder")
    told = run(scene, "--checkpoints", models)
    assert_told(told, tmp_path / "home", "cannot be the home", "Expected a folder", "--home", code=2)


def test_what_fails_every_scene_is_told_before_the_first(run: Run, scene: Path, tmp_path: Path) -> None:
    run(scene, "--checkpoints", tmp_path / "models")
    assert not (tmp_path / "home" / "products" / "raw_scene").exists()


def test_a_partition_that_was_typed_by_hand(a_fresh_start: None) -> None:
    settings = Settings.load()
    with instance_of(settings) as instance:
        add(instance, SCENES, ["T99ZZZ_typed_by-hand"])
        outcome = run_job(instance, "process_scene", "T99ZZZ_typed_by-hand")
    assert outcome.error is not None
    assert outcome.error.startswith("raw_scene: No scene is registered for partition 'T99ZZZ_typed_by-hand'")
    for words in ("darts-assets run PATH", "typed by hand", "delete it"):
        assert words in outcome.error


@pytest.mark.parametrize("asset", ["raw_scene", "preprocessed"])
def test_in_the_ui_the_message_comes_before_the_frames(a_fresh_start: None, asset: str) -> None:
    """Of what an asset raised, and of what an IO manager raised for it: at the step and at the end of the run."""
    with instance_of(Settings.load()) as instance:
        add(instance, SCENES, ["T99ZZZ_typed_by-hand"])
        outcome = run_job(instance, "process_scene", "T99ZZZ_typed_by-hand", select=[asset])
        (run,) = instance.get_runs()
        events = [entry.dagster_event for entry in instance.all_logs(run.run_id) if entry.dagster_event]
    (step,) = (event.step_failure_data for event in events if event.is_step_failure)
    (end,) = (event.job_failure_data for event in events if event.is_failure and not event.is_step_event)
    message = str(outcome.error).removeprefix(f"{asset}: ")
    expected = {"raw_scene": "No scene is registered", "preprocessed": "raw_scene of T99ZZZ_typed_by-hand does not"}
    assert message.startswith(expected[asset])
    assert step.user_failure_data.description == message
    for error in (step.error, end.first_step_failure_event.step_failure_data.error):
        assert error.message.strip() == f"dagster._core.definitions.events.Failure: {message}"
