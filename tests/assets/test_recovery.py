"""A run that is killed, and run again: the same bytes, nothing twice, nothing half-written to be seen."""

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import dagster as dg
import pytest
from support.demo import DARTS_ASSETS, PER_SCENE, Demo, assert_same_products, plain_environment

from darts_assets.runs import instance_of
from darts_core.store import STAGING, Store, StoreError
from resources.settings import Settings


@pytest.fixture
def command(demo: Demo, checkpoints: Path, tmp_path: Path) -> list[str]:
    """Process the demo's Sentinel-2 scene in a home of its own, without what the demo made of it."""
    (safe,) = (demo.world / "scenes").glob("*.SAFE")
    options = {
        "--home": tmp_path / "home",
        "--dem": demo.world / "auxiliary" / "dem.tif",
        "--trends": demo.world / "auxiliary" / "trends.tif",
        "--checkpoints": checkpoints,
        "--upscaler": demo.store.current("super_resolution_model", "demo-upscaler").path("demo-upscaler.pt"),
    }
    return [DARTS_ASSETS, "run", str(safe), *(str(word) for option in options.items() for word in option)]


def test_killed_at_random_moments_the_bytes_are_those_of_an_undisturbed_run(
    demo: Demo, command: list[str], tmp_path: Path
) -> None:
    store = Store(str(tmp_path / "home" / "products"))
    moments = random.Random(8)
    for _ in range(3):
        run = subprocess.Popen(command, env=plain_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _wait_for_products(store, run)
        time.sleep(moments.uniform(0, 4))
        run.send_signal(signal.SIGKILL)
        run.wait()
        _assert_whole_or_absent(store)
    done = subprocess.run(command, env=plain_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for asset in PER_SCENE:
        store.current(asset, demo.sentinel2).verify()
    assert_same_products(store, demo, demo.sentinel2, but=("slump_polygons",))
    for asset in PER_SCENE:
        versions = [path for path in Path(store.path(asset, demo.sentinel2)).iterdir() if path.is_dir()]
        assert len(versions) == 1, "a killed run and its repetition write into one folder"
    assert os.listdir(tmp_path / "home" / "products" / STAGING) == [], "what the killed runs staged is swept"


def test_again_does_nothing_and_says_so_and_a_new_model_computes_only_its_own_raster(
    demo: Demo, command: list[str], checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path / "home" / "products"))
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    command[command.index("--checkpoints") + 1] = str(folder)

    def run() -> dict[str, os.stat_result]:
        done = subprocess.run(command, env=plain_environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        rewritten = ("current.json", f"{demo.sentinel2}.json")  # the pointers, and the entry in the register
        return {path: os.stat(path) for path in store.fs.find(store.base) if not path.endswith(rewritten)}

    shutil.copy(checkpoints / "demo-native.pt", folder)
    first = run()
    again = run()
    assert {path: stat.st_mtime_ns for path, stat in again.items()} == {p: s.st_mtime_ns for p, s in first.items()}
    monkeypatch.setenv("DARTS_HOME", str(tmp_path / "home"))
    with instance_of(Settings.load()) as instance:
        for asset in PER_SCENE:
            events = instance.fetch_materializations(dg.AssetKey(asset), limit=2, ascending=True).records
            hits = [record.asset_materialization.metadata["cache_hit"].value for record in events]
            assert hits == [False, True], asset
            assert "version" in events[1].asset_materialization.metadata, "the last event still shows the product"

    before = store.current("segmentation_probabilities", demo.sentinel2)
    shutil.copy(checkpoints / "demo-super-resolved.pt", folder)
    third = run()
    after = store.current("segmentation_probabilities", demo.sentinel2)
    assert set(after.manifest.objects) == {"demo-native.tif", "demo-super-resolved.tif"}
    taken_over, written = after.path("demo-native.tif"), before.path("demo-native.tif")
    assert third[taken_over].st_ino == first[written].st_ino, "the first model's raster is taken over, not made again"


def _wait_for_products(store: Store, run: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not store.partitions("raw_scene"):
        assert run.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _assert_whole_or_absent(store: Store) -> None:
    for asset in PER_SCENE:
        for key in store.partitions(asset):
            try:
                store.current(asset, key).verify()
            except StoreError as error:
                pytest.fail(f"half-written and visible: {error}")
