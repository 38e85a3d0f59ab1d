"""The demo, run once as a user runs it; several tests look at what it left. And a fresh home for our commands."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.demo import DARTS_ASSETS, Demo, plain_environment

from darts_assets.recording import ENVIRONMENT


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `prepare_home` sets for a process is of the test that calls it, and of none after it."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo's home, made once for all workers; DARTS_DEMO_HOME names one from an earlier run, to save the time."""
    if "DARTS_DEMO_HOME" in os.environ:
        return Demo(Path(os.environ["DARTS_DEMO_HOME"]), "")
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # which is that of all workers
    home, printed = base / "demo-home", base / "demo.txt"
    with open(base / "demo.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not printed.exists():
            done = subprocess.run(
                [DARTS_ASSETS, "demo", "--home", str(home)],
                capture_output=True,
                text=True,
                env=plain_environment(),
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            printed.write_text(done.stdout)
    return Demo(home, printed.read_text())


@pytest.fixture(scope="session")
def checkpoints(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the demo's segmentation models, as someone would bring their own."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for name in demo.store.partitions("segmentation_model"):
        shutil.copy(demo.store.current("segmentation_model", name).path(f"{name}.pt"), folder)
    return folder


@pytest.fixture
def a_fresh_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a new process has: the settings of nobody, and definitions that are yet to be loaded with ours."""
    for name in [name for name in os.environ if name.startswith(("DARTS_", "DAGSTER_"))]:
        monkeypatch.delenv(name)
    for name in ("DEM", "TRENDS", "CHECKPOINTS", "UPSCALER", "DEVICE"):
        monkeypatch.setenv(f"DARTS_{name}", "")  # so that what the command sets is unset after the test
    monkeypatch.setenv("DARTS_HOME", str(tmp_path / "home"))
    monkeypatch.delitem(sys.modules, "darts_assets.definitions", raising=False)
    yield
    sys.modules.pop("darts_assets.definitions", None)
