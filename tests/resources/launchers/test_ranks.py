"""Ranks that predict, started in every way: the same bytes; killed at any moment, only the rest is left to do."""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
import torch
from support.datasets import preprocessed_dataset
from support.launchers import materialized
from support.models import write_checkpoint

from darts_assets.assets.segmentation_probabilities import segmentation_probabilities
from darts_assets.assets.sr_patches import sr_patches
from darts_assets.partitions import SCENES
from darts_core.contracts import encode
from darts_core.datasets import GROUP, open_product, write_zarr
from darts_core.inference.geotiff import blocks_of, write_cog
from darts_core.inference.shards import INDEX
from darts_core.jobs import read_job
from darts_core.manifests import ObjectRecord
from darts_core.store import PARTS, STAGING, Store
from darts_core.superresolution import load_upscaler, super_resolve_patches
from darts_core.superresolution.job import JobError, ProductVersion, patch_job, require_whole
from darts_core.superresolution.parameters import SuperResolveParameters
from darts_core.superresolution.small import UpscalerConfig, save_upscaler
from io_managers.base import StoreResource
from io_managers.cog import CogIOManager
from io_managers.shards import ShardsIOManager
from io_managers.zarr import ZarrIOManager
from resources.accelerator import Accelerator
from resources.launchers.configuration import Launcher
from resources.launchers.launch import launch
from resources.models import ModelStore

SCENE = ProductVersion(asset="preprocessed", partition="T1", version="v1")
PARAMETERS = SuperResolveParameters(window=64, batch_size=3)
SHARDS, WINDOWS = 6, 30
OF_RANK_1 = {f"shard-0000{number}" for number in (3, 4, 5)}


def with_scene(root: str, options: dict[str, Any], brightest: float = 0.5) -> Store:
    """A store that holds the scene; near its lower edge it has a pixel of a reflectance that occurs nowhere else."""
    store = Store(root, options)
    scene = preprocessed_dataset(1, (300, 260))
    scene["blue"][290, 100] = brightest
    with store.draft(**SCENE.model_dump()) as draft:
        write_zarr(encode(scene, "preprocessed"), draft.folder / GROUP)
        draft.commit(lambda published: {"share of valid pixels": 1.0})
    return store


@pytest.fixture
def scenes(tmp_path: Path) -> Store:
    return with_scene(str(tmp_path / "store"), {})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A network that takes its time, so that it can be killed on the way."""
    torch.manual_seed(0)
    config = UpscalerConfig(channels=144, depth=5)
    network = config.build()
    for weights in network.parameters():
        torch.nn.init.normal_(weights, std=0.02)
    path = tmp_path_factory.mktemp("model") / "slow.pt"
    save_upscaler(network, config, path)
    return str(path)


@pytest.fixture(scope="module")
def expected(model: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, ObjectRecord]:
    """Every object of the patches with its checksum, as the launcher `embedded` makes them."""
    store = with_scene(str(tmp_path_factory.mktemp("expected")), {})
    scene = open_product(store.current("preprocessed", "T1"), "preprocessed")
    with patches(store) as draft:
        super_resolve_patches(scene, load_upscaler(model), PARAMETERS, draft.folder, draft.publish, shard_bytes=1)
        return draft.commit().manifest.objects


def patches(store: Store) -> Any:
    return store.draft("sr_patches", "T1", "p1")


def write_job(store: Store, model: str, folder: Path) -> Path:
    """The job of two ranks that makes the patches, in a file of a new folder."""
    folder.mkdir()
    with patches(store) as draft:
        job = patch_job(draft, SCENE, model, PARAMETERS, device="cpu", ranks=2)
    file = folder / "job.json"
    file.write_text(job.model_copy(update={"shard_bytes": 1}).model_dump_json())
    return file


def published(store: Store) -> dict[str, int]:
    """When each object of a published shard was written."""
    folder = Path(store.path("sr_patches", "T1", "p1"))
    parts = [part.name.removesuffix(".json") for part in (folder / PARTS).glob("shard-*.json")]
    files = [file for part in parts for file in (folder / part).rglob("*") if file.is_file()]
    return {str(file): file.stat().st_mtime_ns for file in files}


def after_first_shard_of_rank_1(store: Store, then: Callable[[], None]) -> threading.Thread:
    """Call `then` as soon as the second rank has published something."""

    def watch() -> None:
        folder = Path(store.path("sr_patches", "T1", "p1", PARTS))
        deadline = time.monotonic() + 120
        while not any((folder / f"{name}.json").exists() for name in OF_RANK_1) and time.monotonic() < deadline:
            time.sleep(0.01)
        then()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def kill_rank_1() -> None:
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # gone meanwhile
            if process.environ().get("LOCAL_RANK") == "1":
                process.kill()


def assert_complete(store: Store, expected: dict[str, ObjectRecord]) -> None:
    with patches(store) as draft:
        require_whole(draft)
        assert draft.commit().manifest.objects == expected
    assert os.listdir(Path(store.root, STAGING)) == []


def test_a_killed_rank_fails_the_run_and_the_next_one_computes_the_rest(
    scenes: Store, model: str, expected: dict[str, ObjectRecord]
) -> None:
    told = []

    @dg.asset
    def product(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        with patches(scenes) as draft:
            job = patch_job(draft, SCENE, model, PARAMETERS, device="cpu", ranks=2)
            accelerator = Accelerator(device="cpu", launcher=Launcher.LOCAL, ranks=2)
            told.append(launch(context, job.model_copy(update={"shard_bytes": 1}), accelerator.backend()))
        return dg.MaterializeResult()

    def run() -> tuple[bool, str]:
        result = dg.materialize([product], instance=instance, raise_on_error=False)
        failures = [str(event.step_failure_data.error) for event in result.all_events if event.is_step_failure]
        return result.success, "\n".join([*failures, *(log.user_message for log in instance.all_logs(result.run_id))])

    others = set(psutil.Process().children(recursive=True))  # servers of other tests
    with dg.DagsterInstance.ephemeral() as instance:
        killer = after_first_shard_of_rank_1(scenes, kill_rank_1)
        success, said = run()
        killer.join()
        assert not success
        assert "JobKilled: Rank 1 failed: its process" in said
        assert set(psutil.Process().children(recursive=True)) <= others
        before = published(scenes)
        assert before
        success, said = run()
    assert success, said
    assert before.items() <= published(scenes).items(), "what was published is not touched"
    assert "windows 30 of 30 (100 %)" in said
    assert 0 < told[0]["windows predicted"] < WINDOWS
    assert told[0]["ranks"].count("| cpu") == 2
    assert "Feed" in told[0]["reading ahead"]
    assert_complete(scenes, expected)


def test_a_killed_run_leaves_no_rank_of_torchrun_and_ranks_started_by_slurm_do_the_rest(
    scenes: Store, model: str, expected: dict[str, ObjectRecord], tmp_path: Path
) -> None:
    file = write_job(scenes, model, tmp_path / "first")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "resources.worker", str(file)]
    started_as = f"job = LocalJob(Path({str(file.parent)!r}), {command!r}, {{}})"
    code = f"import time; from pathlib import Path; from resources.launchers.local import LocalJob; {started_as}"
    code += "\nwhile job.state().running: time.sleep(0.1)"
    run = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    started: list[psutil.Process] = []

    def kill() -> None:
        started.extend(psutil.Process(run.pid).children(recursive=True))
        run.kill()

    after_first_shard_of_rank_1(scenes, kill).join()
    assert run.wait() == -signal.SIGKILL
    assert len(started) == 4, "the supervisor, torchrun and two ranks"
    _, alive = psutil.wait_procs(started, timeout=15)
    assert not alive
    assert not file.parent.exists()
    before = published(scenes)
    assert before
    assert len(before) < len(expected)

    file = write_job(scenes, model, tmp_path / "second")
    common = {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "1", "SLURM_NODEID": "0"}
    common |= {"SLURM_JOB_ID": str(uuid.uuid4().int % 10000), "SLURM_JOB_NAME": "job", "SLURM_NODELIST": "127.0.0.1"}
    tasks = [
        subprocess.Popen(
            [sys.executable, "-m", "resources.worker", str(file)],
            env={**os.environ, **common, "SLURM_PROCID": number, "SLURM_LOCALID": number},
        )
        for number in ("0", "1")
    ]
    assert [task.wait() for task in tasks] == [0, 0]
    assert before.items() <= published(scenes).items(), "what was published is not touched"
    assert_complete(scenes, expected)


def test_a_model_that_fails_on_one_rank_is_the_error(tmp_path: Path) -> None:
    class Picky(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if bool((x > 0.9).any()):
                raise ValueError("too bright")
            return x

    store = with_scene(str(tmp_path / "store"), {}, brightest=0.95)
    torch.jit.script(Picky()).save(str(tmp_path / "picky.pt"))
    (tmp_path / "picky.pt.toml").write_text('bands = ["blue", "green", "red", "nir"]\nfactor = 1\nreach = 0\n')
    file = write_job(store, str(tmp_path / "picky.pt"), tmp_path / "job")
    with pytest.raises(JobError) as caught:
        materialized(read_job(file.read_bytes(), "job"), Accelerator(device="cpu", launcher=Launcher.LOCAL, ranks=2))
    said = str(caught.value)
    assert "Rank 1 failed: darts_core.superresolution.facts.UpscalerError: picky failed on windows" in said
    assert "in T1, after " in said
    assert "too bright" in said
    assert "It was in window" in said
    assert "Traceback (most recent call last)" in said


def test_the_asset_makes_the_same_patches_by_either_launcher_also_in_s3(s3: str, tmp_path: Path) -> None:
    bucket = f"s3://test-{uuid.uuid4().hex}"
    Store(bucket, {"endpoint_url": s3}).fs.mkdir(bucket)
    made = {}
    for launcher, root, endpoint in ((Launcher.EMBEDDED, str(tmp_path), None), (Launcher.LOCAL, bucket, s3)):
        resource = StoreResource(root=root, endpoint_url=endpoint)
        store = with_scene(root, resource.open().options)

        @dg.asset(partitions_def=SCENES, io_manager_key="zarr", metadata={"contract": "preprocessed"})
        def preprocessed() -> None: ...

        with dg.DagsterInstance.ephemeral() as instance:
            instance.add_dynamic_partitions("scene", ["T1"])
            run = dg.materialize(
                [preprocessed, sr_patches],
                selection=[sr_patches],
                instance=instance,
                partition_key="T1",
                resources={
                    "store": resource,
                    "models": ModelStore(checkpoints="", upscaler="bicubic"),
                    "accelerator": Accelerator(device="cpu", launcher=launcher),
                    "zarr": ZarrIOManager(store=resource),
                    "shards": ShardsIOManager(store=resource),
                },
            )
            logged = [log.user_message for log in instance.all_logs(run.run_id)]
        assert any("windows 9 of 9 (100 %)" in line for line in logged)
        (event,) = run.get_asset_materialization_events()
        made[launcher] = store.current("sr_patches", "T1").manifest.objects, event.materialization.metadata
    assert made[Launcher.EMBEDDED][0] == made[Launcher.LOCAL][0]
    assert INDEX in made[Launcher.LOCAL][0]
    assert made[Launcher.LOCAL][1]["windows predicted"].value == 9


def test_segmentation_makes_the_same_rasters_by_either_launcher(tmp_path: Path) -> None:
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    for number, name in enumerate(("one", "two")):
        write_checkpoint(checkpoints / f"{name}.pt", bias=float(number))
    made = {}
    for launcher in (Launcher.EMBEDDED, Launcher.LOCAL):
        resource = StoreResource(root=str(tmp_path / launcher))
        store = with_scene(resource.root, {})
        with store.draft("sr_geotiff", "T1", "f1") as draft:
            scene = open_product(store.current("preprocessed", "T1"), "preprocessed")
            write_cog(blocks_of(scene[["blue", "green", "red", "nir"]], "super_resolved"), draft.folder / "raster.tif")
            draft.commit()

        @dg.asset(partitions_def=SCENES, io_manager_key="zarr", metadata={"contract": "preprocessed"})
        def preprocessed() -> None: ...

        @dg.asset(partitions_def=SCENES, io_manager_key="cog", metadata={"contract": "super_resolved"})
        def sr_geotiff() -> None: ...

        with dg.DagsterInstance.ephemeral() as instance:
            instance.add_dynamic_partitions("scene", ["T1"])
            dg.materialize(
                [preprocessed, sr_geotiff, segmentation_probabilities],
                selection=[segmentation_probabilities],
                instance=instance,
                partition_key="T1",
                run_config={"ops": {"segmentation_probabilities": {"config": {"patch_size": 128}}}},
                resources={
                    "store": resource,
                    "models": ModelStore(checkpoints=str(checkpoints), upscaler="bicubic"),
                    "accelerator": Accelerator(
                        device="cpu", launcher=launcher, ranks=1 if launcher is Launcher.EMBEDDED else 2
                    ),
                    "zarr": ZarrIOManager(store=resource),
                    "cog": CogIOManager(store=resource),
                },
            )
        made[launcher] = store.current("segmentation_probabilities", "T1").manifest.objects
    assert set(made[Launcher.LOCAL]) == {"one.tif", "two.tif"}
    assert made[Launcher.EMBEDDED] == made[Launcher.LOCAL]
