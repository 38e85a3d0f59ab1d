"""How far every scene is: in the overview of the UI, for people at a terminal, for scripts and for Prometheus."""

import base64
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
from PIL import Image
from support.deliveries import key_of, truncate, write_delivery
from typer.testing import CliRunner

from darts_assets.cli import app
from darts_assets.overview import COLOURS, draw_map, season_table
from darts_assets.runs import add_scenes, instance_of, run_job
from darts_assets.states import SceneState, State
from darts_core.scenes import find_scenes
from darts_core.store import Store
from resources.settings import Settings

CUT, WHOLE = key_of("T08WNB"), key_of("T09WVS")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home in which one scene arrived whole and is not finished, and one was cut off."""
    home = tmp_path_factory.mktemp("overview")
    write_delivery(home / "scenes", "T09WVS")
    truncate(write_delivery(home / "scenes", "T08WNB"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DARTS_HOME", str(home))
        patch.delitem(sys.modules, "darts_assets.definitions", raising=False)
        settings = Settings.load()
        with instance_of(settings) as instance:
            add_scenes(instance, Store(settings.products), list(find_scenes(settings.scenes).scenes))
            for key in (CUT, WHOLE):
                run_job(instance, "process_scene", key, select=["raw_scene"])
        yield home
        patch.delitem(sys.modules, "darts_assets.definitions", raising=False)


def told(home: Path, *options: str) -> str:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["status", "--home", str(home), *options])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_person_reads_what_failed_and_why(home: Path) -> None:
    shown = told(home)
    (season,) = [re.findall(r"\d+", line) for line in shown.splitlines() if "2021" in line and "│" in line]
    assert season == ["2021", "0", "1", "1", "0", "0"]  # running, failed, missing, stale, made
    assert f"{CUT} {home}/scenes/T08WNB.tif is truncated" in shown
    assert "1 success, 1 failure" in shown
    assert "free on the disk" in shown


def test_a_script_reads_the_same(home: Path) -> None:
    figures = json.loads(told(home, "--json", "--store"))
    assert figures["scenes"] == {"2021": {"running": 0, "failed": 1, "missing": 1, "stale": 0, "made": 0}}
    assert figures["ended_last_hour"] == {"success": 1, "failure": 1, "canceled": 0}
    files = [path for path in (home / "products").rglob("*") if path.is_file()]
    assert figures["store_bytes"] == sum(path.stat().st_size for path in files) > 0


def test_prometheus_reads_the_same(home: Path) -> None:
    text = told(home, "--prometheus")
    if shutil.which("promtool"):
        linted = subprocess.run(
            ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
        )
        assert linted.returncode == 0, linted.stdout + linted.stderr
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert samples['darts_scenes{season="2021",state="failed"}'] == "1"
    assert samples['darts_runs_ended_last_hour{status="failure"}'] == "1"
    assert samples["darts_backfills"] == "0"
    assert float(samples["darts_store_free_bytes"]) > 0
    described = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert {name.partition("{")[0] for name in samples} <= described


def test_the_overview_links_to_what_failed(home: Path) -> None:
    from darts_assets.definitions import defs

    with instance_of(Settings.load()) as instance:
        made = defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance, asset_selection=[dg.AssetKey("scene_overview")]
        )
        (failed,) = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
    (event,) = made.asset_materializations_for_node("scene_overview")
    metadata = {name: value.value for name, value in event.metadata.items()}
    assert {name: metadata[name] for name in ("scenes", *State)} == {
        "scenes": 2,
        "failed": 1,
        "missing": 1,
        "running": 0,
        "stale": 0,
        "made": 0,
    }
    (entry,) = metadata["failed, and why"].splitlines()
    scene = f"[{CUT}](/assets/raw_scene?view=partitions&partition={CUT})"
    where = f"- {scene} at raw_scene in run [{failed.run_id[:8]}](/runs/{failed.run_id}): "
    assert entry.startswith(where)
    assert entry[len(where) :].replace("\\", "").startswith(f"{home}/scenes/T08WNB.tif is truncated")
    assert metadata["scenes not on the map"] == 0
    assert len(metadata["map"]) < 21_000


def test_on_the_map_what_a_person_should_look_at_lies_on_top(tmp_path: Path) -> None:
    states = {"T08WNB_2021_a": SceneState(State.MADE), "T08WNB_2022_a": SceneState(State.FAILED)}
    picture, unplaced = draw_map(Store(str(tmp_path)), states | {"nowhere_2021_a": SceneState(State.MADE)})
    data = Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2]))).convert("RGB")
    drawn = np.array(data, int)[120:]  # below the legend
    assert unplaced == 1

    def seen(state: State) -> bool:
        return bool((drawn == COLOURS[state]).all(-1).any())

    assert seen(State.FAILED)
    assert not seen(State.MADE)


def test_progress_is_told_by_season() -> None:
    states = {f"T08WNB_{year}0801_{n}": SceneState(State.MADE) for year in (2021, 2022) for n in range(3)}
    states["T08WNB_20220802_x"] = SceneState(State.FAILED, "ensemble")
    rows = season_table(states).splitlines()[2:]
    assert [row.split(" | ")[:4] for row in rows] == [["| 2021", "3", "100%", "3"], ["| 2022", "4", "75%", "3"]]
