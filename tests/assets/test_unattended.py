"""With a real daemon, and nobody there: a scene that arrives becomes polygons, once."""

import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickStatus
from support.demo import DARTS_ASSETS, PER_SCENE, Demo, plain_environment

from darts_assets.runs import instance_of, prepare_home
from darts_assets.states import State, scene_states
from darts_core.store import Store
from resources.settings import Settings

ROOT = Path(__file__).parents[2]
WORKSPACE = str(ROOT / "workspace.yaml")
SENSORS = ("new_scenes", "process_new_scenes")
PATIENCE = 400.0
"""Seconds: two sensors of 30 s, and the work itself on a busy machine."""
SLEEP = "import select, time; time.sleep = lambda seconds: select.select([], [], [], seconds) and None"


@pytest.fixture
def home(demo: Demo, checkpoints: Path, tmp_path: Path) -> Path:
    """A home that looks at an inbox and has the demo's models."""
    home = tmp_path / "home"
    (home / "inbox").mkdir(parents=True)
    upscaler = demo.store.current("super_resolution_model", "demo-upscaler").path("demo-upscaler.pt")
    lines = {
        "scenes": home / "inbox",
        "dem": demo.world / "auxiliary" / "dem.tif",
        "trends": demo.world / "auxiliary" / "trends.tif",
        "checkpoints": checkpoints,
        "upscaler": upscaler,
        "nightly_cron": "* * * * *",
    }
    (home / "settings.toml").write_text("".join(f'{name} = "{value}"\n' for name, value in lines.items()))
    prepare_home(settings_of(home))
    return home


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    paths = {"DARTS_HOME": home, "DAGSTER_HOME": home / "dagster", "PYTHONPATH": ROOT}
    return plain_environment() | {name: str(path) for name, path in paths.items()}


@dataclass(frozen=True)
class Clock:
    """What clocks show to processes that began with its environment; durations are measured as ever."""

    environment: dict[str, str]

    def set(self, hours: int) -> None:
        """Set it, that many hours from the true time."""
        file = Path(self.environment["FAKETIME_TIMESTAMP_FILE"])
        file.with_suffix(".new").write_text(f"{hours:+}h")
        file.with_suffix(".new").replace(file)  # it is read at any moment


@pytest.fixture
def clock(environment: dict[str, str], tmp_path: Path) -> Clock:
    """The clock of whatever is started in `environment` from now on."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        pytest.skip("needs a clock that can be set (Debian: faketime)")
    # with that library the call by which Python sleeps is refused where durations are left true
    (tmp_path / "sitecustomize.py").write_text(SLEEP)
    environment |= {
        "PYTHONPATH": f"{tmp_path}:{environment['PYTHONPATH']}",
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(tmp_path / "clock"),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    clock = Clock(environment)
    clock.set(0)
    return clock


@pytest.fixture
def daemon(home: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The daemon, with the two sensors turned on, which ends with all that it started."""
    for sensor in SENSORS:
        command = [sys.executable, "-m", "dagster", "sensor", "start", sensor, "-w", WORKSPACE]
        subprocess.run(command, env=environment, check=True, capture_output=True)
    with (home / "daemon.log").open("wb") as log:
        command = [str(Path(sys.executable).parent / "dagster-daemon"), "run", "-w", WORKSPACE]
        running = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        yield running
        running.send_signal(signal.SIGINT)
        try:
            running.wait(60)
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)


def settings_of(home: Path) -> Settings:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DARTS_HOME", str(home))
        return Settings.load()


def until(what: Callable[[], bool], home: Path, daemon: subprocess.Popen[bytes]) -> None:
    """Wait for something that the daemon is to bring about."""
    latest = time.monotonic() + PATIENCE
    while not what():
        assert daemon.poll() is None, (home / "daemon.log").read_text()[-3000:]
        assert time.monotonic() < latest, (home / "daemon.log").read_text()[-3000:]
        time.sleep(0.5)


def arrive(demo: Demo, home: Path) -> None:
    """The demo's order of PlanetScope lies in the inbox, whole from the first moment."""
    (order,) = (path for path in (demo.world / "scenes").iterdir() if path.suffix != ".SAFE")
    shutil.copytree(order, home / "arriving")
    (home / "arriving").rename(home / "inbox" / order.name)


def test_a_scene_that_arrives_becomes_polygons_once_and_a_night_takes_it_up(
    demo: Demo, home: Path, environment: dict[str, str], daemon: subprocess.Popen[bytes]
) -> None:
    arrive(demo, home)
    store = Store(str(home / "products"))
    until(lambda: store.partitions("slump_polygons") == [demo.planet], home, daemon)
    with instance_of(settings_of(home)) as instance:
        until(lambda: statuses(instance) == [dg.DagsterRunStatus.SUCCESS], home, daemon)
        done = time.time()
        assert scene_states(instance)[demo.planet].state is State.MADE
        older = dg.AssetMaterialization("slump_polygons", partition=demo.planet, tags={DATA_VERSION_TAG: "0-older"})
        instance.report_runless_asset_event(older)
        assert scene_states(instance)[demo.planet].state is State.STALE
        command = [sys.executable, "-m", "dagster", "schedule", "start", "nightly_backfill", "-w", WORKSPACE]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        until(lambda: statuses(instance) == [dg.DagsterRunStatus.SUCCESS] * 2, home, daemon)
        until(lambda: looked_again(instance, done), home, daemon)
        twice = {asset: [demo.planet] * (2 + (asset == "slump_polygons")) for asset in PER_SCENE}
        assert materializations(instance) == twice
        assert scene_states(instance)[demo.planet].state is State.MADE


def test_a_clock_that_is_set_while_a_run_goes_on_loses_nothing_and_makes_nothing_twice(
    demo: Demo, home: Path, clock: Clock, environment: dict[str, str], daemon: subprocess.Popen[bytes]
) -> None:
    arrive(demo, home)
    with instance_of(settings_of(home)) as instance:
        made = functools.partial(made_of, instance, demo.planet)
        until(lambda: made() > 0, home, daemon)
        clock.set(+2)
        until(lambda: made() > 2, home, daemon)
        clock.set(-1)
        until(lambda: statuses(instance) == [dg.DagsterRunStatus.SUCCESS], home, daemon)
        clock.set(+2)
        done = time.time() + 2 * 3600
        until(lambda: looked_again(instance, done), home, daemon)
        assert statuses(instance) == [dg.DagsterRunStatus.SUCCESS]
        assert made() == len(PER_SCENE)
        assert scene_states(instance)[demo.planet].state is State.MADE
        clock.set(-1)
        command = [DARTS_ASSETS, "status", "--home", str(home)]
        told = subprocess.run(command, env=environment | {"COLUMNS": "200"}, check=True, capture_output=True, text=True)
        assert "still to come: the clock was set back" in told.stdout


def made_of(instance: dg.DagsterInstance, key: str) -> int:
    """How many materializations of a scene's assets there are."""
    return sum(partitions.count(key) for partitions in materializations(instance).values())


def statuses(instance: dg.DagsterInstance) -> list[dg.DagsterRunStatus]:
    return [run.status for run in instance.get_runs()]


def looked_again(instance: dg.DagsterInstance, since: float) -> bool:
    """Whether both sensors have begun a tick later than `since` and ended it."""
    states = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
    sensors = [state for state in states if state.name in SENSORS]
    ended = [TickStatus.SUCCESS, TickStatus.SKIPPED]
    ticks = [
        instance.get_ticks(one.instigator_origin_id, one.selector_id, after=since, statuses=ended) for one in sensors
    ]
    return len(ticks) == 2 and all(ticks)


def materializations(instance: dg.DagsterInstance) -> dict[str, list[str]]:
    """Asset to the partitions of its materializations."""
    return {
        asset: [record.partition_key for record in instance.fetch_materializations(dg.AssetKey(asset), limit=9).records]
        for asset in PER_SCENE
    }
