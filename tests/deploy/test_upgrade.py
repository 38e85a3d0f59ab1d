"""New code between two runs of what was asked for at once: the page for systemd, with the services started by hand."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
import yaml
from support.deliveries import key_of, write_delivery
from support.demo import PER_SCENE, plain_environment
from support.models import write_checkpoint
from support.postgres import free_port
from support.waiting import wait_until

from darts_assets.queueing import queue
from darts_assets.runs import add_scenes, instance_of
from darts_core.scenes import find_scenes
from darts_core.store import Store
from resources.settings import Settings

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
TILES = ("T08WNA", "T08WNBB")
LAST = "slump_polygons"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The code, which is to be another one."""
    for package in ("darts_assets", "darts_core", "io_managers", "resources"):
        shutil.copytree(ROOT / package, tmp_path / "tree" / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dagster.yaml", tmp_path / "tree")
    return tmp_path / "tree"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two scenes, which are processed one after the other."""
    home = tmp_path / "home"
    for tile in TILES:
        write_delivery(home / "scenes", tile)
    (home / "checkpoints").mkdir()
    write_checkpoint(home / "checkpoints" / "bright.pt")
    (home / "settings.toml").write_text(f'scenes = "{home}/scenes"\ncheckpoints = "{home}/checkpoints"\n')
    (home / "dagster").mkdir()
    config = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    config["concurrency"]["runs"]["max_concurrent_runs"] = 1
    config["run_monitoring"]["poll_interval_seconds"] = 2
    (home / "dagster" / "dagster.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("DARTS_HOME", str(home))
    return home


@contextmanager
def services(tree: Path, home: Path, port: int) -> Iterator[None]:
    """The code location and then the daemon; at the end they and their runs are killed, as after a stop that waits."""
    at = ["-h", "127.0.0.1", "-p", str(port)]
    workspace = (ROOT / "deploy" / "systemd" / "workspace.yaml").read_text().replace("4000", str(port))
    (home / "workspace.yaml").write_text(workspace)
    environment = plain_environment()
    environment |= {"DARTS_HOME": str(home), "DAGSTER_HOME": str(home / "dagster"), "PYTHONPATH": str(tree)}
    commands = (
        [BIN / "dagster", "api", "grpc", "-m", "darts_assets.definitions", *at],
        [BIN / "dagster-daemon", "run", "-w", home / "workspace.yaml"],
    )
    running = []
    with open(home / "services.log", "ab") as log:
        try:
            for command in commands:
                running.append(
                    subprocess.Popen(command, cwd=tree, env=environment, stdout=log, stderr=log, start_new_session=True)
                )
                wait_until(lambda: _answers(at), 120)
            yield
        finally:
            for service in running:
                os.killpg(service.pid, signal.SIGKILL)
                service.wait()


def _answers(at: list[str]) -> bool:
    check = subprocess.run([BIN / "dagster", "api", "grpc-health-check", *at], capture_output=True, check=False)
    return check.returncode == 0


def test_what_was_begun_goes_on_and_what_waits_is_made_by_the_new_code(tree: Path, home: Path) -> None:
    store = Store(str(home / "products"))
    first, second = map(key_of, TILES)
    port = free_port()
    with instance_of(Settings.load()) as instance:
        assert set(add_scenes(instance, store, list(find_scenes(str(home / "scenes")).scenes))) == {first, second}
        with services(tree, home, port):
            queue(instance, [[first], [second]], None)
            wait_until(lambda: store.partitions("preprocessed"), 120)
        assert store.partitions(LAST) == [], "the first run was killed on its way"
        older = upgrade(tree)
        with services(tree, home, port):
            wait_until(lambda: ended(instance), 240)
        statuses = sorted(run.status.value for run in instance.get_runs())
        assert statuses == ["FAILURE", "SUCCESS", "SUCCESS"], "the first, and its retry"
        for asset in PER_SCENE:
            assert instance.get_materialized_partitions(dg.AssetKey(asset)) == {first, second}
            for key in (first, second):
                versions = [path for path in Path(store.path(asset, key)).iterdir() if path.is_dir()]
                assert len(versions) == 1, f"{asset} of {key}: nothing is made twice"
    for key in (first, second):
        code, _, _ = store.current(LAST, key).version.partition("-")
        assert int(code) == older + 1


def upgrade(tree: Path) -> int:
    """Raise the code version of the last asset; what it was."""
    file = tree / "darts_assets" / "assets" / f"{LAST}.py"
    text = file.read_text()
    (version,) = re.findall(r'code_version="(\d+)"', text)
    file.write_text(text.replace(f'code_version="{version}"', f'code_version="{int(version) + 1}"'))
    return int(version)


def ended(instance: dg.DagsterInstance) -> bool:
    """Whether three runs are over: that which was killed, its retry, and the one that waited."""
    runs = instance.get_runs()
    return len(runs) == 3 and all(run.is_finished for run in runs)
