"""A real Sentinel-2 product whose manifest lists bands that were not delivered."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
from support.demo import DARTS_ASSETS, PER_SCENE, plain_environment
from support.models import write_checkpoint

from darts_assets.runs import instance_of
from darts_core.scenes import read_scene
from darts_core.store import MissingProduct, Store
from resources.scenes import registered
from resources.settings import Settings

KEY = "T29UNU_20221005T115411.024000_S2A"
MISSING = [f"T29UNU_20221005T115411_{code}_10m.jp2" for code in ("B02", "B03", "B04", "B08")]


@dataclass(frozen=True)
class Attempt:
    """What was left of an attempt to process the product."""

    home: Path
    done: subprocess.CompletedProcess[str]

    @property
    def store(self) -> Store:
        return Store(str(self.home / "products"))


@pytest.fixture(scope="module")
def attempt(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Attempt:
    folder = tmp_path_factory.mktemp("t29unu")
    (safe,) = (shared_data / "sentinel2_l2a_T29UNU").glob("*.SAFE")
    (folder / "checkpoints").mkdir()
    write_checkpoint(folder / "checkpoints" / "model.pt")
    command = [DARTS_ASSETS, "run", safe, "--home", folder / "home", "--checkpoints", folder / "checkpoints"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=plain_environment(), check=False)
    return Attempt(folder / "home", done)


def test_the_command_fails_and_names_every_missing_band(attempt: Attempt) -> None:
    assert attempt.done.returncode == 1
    assert f"{KEY} raw_scene: " in attempt.done.stderr
    for name in MISSING:
        assert name in attempt.done.stderr
    assert "Traceback" not in attempt.done.stdout + attempt.done.stderr


def test_the_partition_is_red_for_that_reason(attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARTS_HOME", str(attempt.home))
    with instance_of(Settings.load()) as instance:
        (run,) = instance.get_runs()
        assert run.status is dg.DagsterRunStatus.FAILURE
        assert run.tags["dagster/partition"] == KEY
        records = instance.get_records_for_run(run.run_id).records
        events = [entry.event_log_entry.dagster_event for entry in records if entry.event_log_entry.dagster_event]
        (failure,) = (event for event in events if event.is_step_failure)
        assert failure.step_key == "raw_scene"
        error = failure.step_failure_data.error
        while error.cause is not None:
            error = error.cause
        for name in MISSING:
            assert name in error.message
        assert not [event for event in events if event.is_step_materialization]
        planned = {event.asset_key.path[-1] for event in events if event.is_asset_materialization_planned}
        assert planned == set(PER_SCENE), "what was planned and not made is red in the UI"


def test_nothing_is_stored(attempt: Attempt) -> None:
    for asset in PER_SCENE:
        with pytest.raises(MissingProduct):
            attempt.store.current(asset, KEY)
    files = [Path(path).relative_to(attempt.home) for path in attempt.store.fs.find(attempt.store.base)]
    assert files == [Path("products", "scenes", f"{KEY}.json")], "the register alone"


def test_its_60_m_bands_are_read_on_request(attempt: Attempt) -> None:
    raw = read_scene(registered(attempt.store, KEY), resolution=60)
    assert raw.sizes == {"y": 1830, "x": 1830}
    assert raw.rio.crs.to_epsg() == 32629
    blue = raw["blue"].values
    assert (blue == 0).mean() == pytest.approx(0.40, abs=0.01), "nodata at the edge of the swath"
    assert 0 < blue[blue > 0].mean() * raw["blue"].attrs["scale_factor"] + raw["blue"].attrs["add_offset"] < 1
