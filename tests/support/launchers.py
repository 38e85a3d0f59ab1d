"""What every place where jobs run has to do, whatever it is: one suite for all of them."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest

from darts_core.contracts import encode
from darts_core.datasets import GROUP, open_product, write_zarr
from darts_core.inference.job import JobError, ProductVersion
from darts_core.store import JOBS, STAGING, Store
from darts_core.superresolution import load_upscaler, super_resolve_patches
from darts_core.superresolution.job import SuperResolveJob, patch_job, require_whole
from darts_core.superresolution.parameters import SuperResolveParameters
from resources.accelerator import Accelerator
from resources.launchers import launch as launching
from resources.launchers.launch import launch
from resources.launchers.underway import Underway
from support.datasets import preprocessed_dataset
from support.waiting import wait_until

PARAMETERS = SuperResolveParameters(window=64)
SCENE = ProductVersion(asset="preprocessed", partition="T1", version="v1")
WITHIN = 15
"""Seconds in which a job has to be gone."""

STUBBORN = """
import os, signal, subprocess, sys, time
from pathlib import Path
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
folder, depth = Path(sys.argv[1]), int(sys.argv[2])
if depth:
    subprocess.Popen([sys.executable, __file__, folder, str(depth - 1)], start_new_session=depth == 2)
(folder / f"{os.getpid()}.pid").write_text(str(depth))
while not (folder / "stop").exists():
    time.sleep(0.1)
"""
"""Ignores what can be ignored, as do its child, in a session of its own, and that one's child."""

FAILING = """
import os, socket, sys
from pathlib import Path
from resources.reports import RankFailure, write
print("before")
folder = Path(sys.argv[1]).parent
write(folder, RankFailure(rank=0, error="ValueError: odd", traceback="line 1\\nline 2"))
sys.exit(3)
"""

RUN = """
import json, signal, sys
import dagster as dg
from darts_core.jobs import read_job
from resources.accelerator import Accelerator
from resources.launchers.launch import launch
# a shell that starts the tests in its background leaves SIGINT ignored
signal.signal(signal.SIGINT, signal.default_int_handler)
said = json.loads(sys.argv[1])

@dg.asset
def product(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    launch(context, read_job(said["job"], "job"), Accelerator(**said["accelerator"]).backend(), rank=said["rank"])
    return dg.MaterializeResult()

if __name__ == "__main__":
    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize([product], instance=instance)
"""
"""A run in a process of its own, that can be interrupted and killed."""


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def with_scene(root: str) -> Store:
    """A store that holds a preprocessed scene."""
    shutil.copytree(_scene().name, root)
    return Store(root)


@cache
def _scene() -> tempfile.TemporaryDirectory[str]:
    """The folder of such a store, which goes with this process."""
    folder = tempfile.TemporaryDirectory(prefix="darts-scene-")
    with Store(folder.name).draft(**SCENE.model_dump()) as draft:
        write_zarr(encode(preprocessed_dataset(1, (130, 140)), "preprocessed"), draft.folder / GROUP)
        draft.commit()
    return folder


def patches(store: Store) -> Any:
    return store.draft("sr_patches", "T1", "p1")


def job_of(store: Store, ranks: int = 1, device: str = "cpu") -> SuperResolveJob:
    with patches(store) as draft:
        job = patch_job(draft, SCENE, "bicubic", PARAMETERS, device=device, ranks=ranks)
    return job.model_copy(update={"shard_bytes": 1})


def materialized(job: SuperResolveJob, accelerator: Accelerator, rank: tuple[str, ...] | None = None) -> Any:
    """What a launch within a run returns, and the run's log; what it raises is raised."""
    made: list[dict[str, Any]] = []

    @dg.asset
    def product(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        chosen = {} if rank is None else {"rank": rank}
        made.append(launch(context, job, accelerator.backend(), **chosen))
        return dg.MaterializeResult()

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([product], instance=instance)
        return made[0], "\n".join(log.user_message for log in instance.all_logs(result.run_id))


def start_run(accelerator: Accelerator, job: SuperResolveJob, rank: tuple[str, ...]) -> subprocess.Popen[str]:
    """A run in a process of its own."""
    said = {"job": job.model_dump_json(), "accelerator": accelerator.model_dump(mode="json"), "rank": rank}
    command = [sys.executable, "-c", RUN, json.dumps(said)]
    run = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    _RUNS.append(run)
    return run


def end_runs() -> None:
    """End what a failed test has left."""
    while _RUNS:
        run = _RUNS.pop()
        if run.poll() is None:
            run.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                run.wait(WITHIN)
            run.kill()


_RUNS: list[subprocess.Popen[str]] = []


def _then(stop: Callable[[], None], start: Callable[..., Any], *how: Any) -> Any:
    """What `start` returns; as soon as it does, the stubborn may end."""
    going = start(*how)
    stop()
    return going


class LauncherConformance:
    """Inherited by the tests of each backend, which say how it is reached and what it refuses."""

    ranks = 2
    goes_on = False
    """Whether a job survives its run."""

    @pytest.fixture(autouse=True)
    def _runs_end(self) -> Iterator[None]:
        yield
        end_runs()

    @pytest.fixture
    def accelerator(self) -> Accelerator:
        """The backend, for jobs of two ranks."""
        raise NotImplementedError

    @pytest.fixture
    def wrong(self, accelerator: Accelerator) -> tuple[Accelerator, str]:
        """One that asks for what is not there, and what it is told."""
        raise NotImplementedError

    @pytest.fixture
    def products(self, tmp_path: Path) -> Store:
        return with_scene(str(tmp_path / "store"))

    @pytest.fixture
    def stubborn(self, tmp_path: Path) -> tuple[str, ...]:
        (tmp_path / "stubborn.py").write_text(STUBBORN)
        (tmp_path / "pids").mkdir()
        return str(tmp_path / "stubborn.py"), str(tmp_path / "pids"), "2"

    def test_ranks_make_the_products_and_tell_how_far_they_are(
        self, accelerator: Accelerator, products: Store, tmp_path: Path
    ) -> None:
        scene = open_product(products.current("preprocessed", "T1"), "preprocessed")
        with patches(Store(str(tmp_path / "expected"))) as draft:
            super_resolve_patches(
                scene, load_upscaler("bicubic"), PARAMETERS, draft.folder, draft.publish, shard_bytes=1
            )
            expected = draft.commit().manifest.objects
        metadata, said = materialized(job_of(products, self.ranks), accelerator)
        assert metadata["windows predicted"] == 9
        assert metadata["ranks"].count("| cpu") == self.ranks
        assert re.search(r"windows 9 of 9 \(100 %\).*memory \d", said), said
        with patches(products) as draft:
            require_whole(draft)
            assert draft.commit().manifest.objects == expected
        assert os.listdir(Path(products.root, STAGING)) == []
        self.assert_nothing_is_left(products)

    def test_the_last_words_of_a_failing_rank_are_the_error(
        self, accelerator: Accelerator, products: Store, tmp_path: Path
    ) -> None:
        (tmp_path / "failing.py").write_text(FAILING)
        with pytest.raises(JobError, match=r"(?s)^Rank 0 failed: ValueError: odd\n.*\nLast lines:\nline 1\nline 2$"):
            materialized(job_of(products), accelerator, (str(tmp_path / "failing.py"), "{job}"))
        self.assert_nothing_is_left(products)

    def test_a_command_that_fails_without_a_rank_tells_its_status_and_its_last_lines(
        self, accelerator: Accelerator, products: Store
    ) -> None:
        with pytest.raises(JobError, match=r"(?s)The job ended with the status \d.*Last lines:\n.*no such luck"):
            materialized(job_of(products), accelerator, ("-c", "import sys; print('no such luck'); sys.exit(3)"))

    def test_what_is_not_there_is_said_before_the_start(
        self, wrong: tuple[Accelerator, str], products: Store, stubborn: tuple[str, ...]
    ) -> None:
        asked, told = wrong
        with pytest.raises(JobError, match=told):
            materialized(job_of(products, asked.ranks, asked.device), asked, stubborn)
        assert not self.pids(stubborn)

    def test_a_cancelled_run_ends_every_process_first(
        self, accelerator: Accelerator, products: Store, stubborn: tuple[str, ...]
    ) -> None:
        run = start_run(accelerator, job_of(products), stubborn)
        pids = self.started(stubborn)
        run.send_signal(signal.SIGINT)
        run.wait(WITHIN)
        assert not [pid for pid in pids if alive(pid)], "the run ended before its job did"
        assert run.returncode != 0
        self.assert_nothing_is_left(products)

    def test_a_killed_run_leaves_nothing_or_a_job_that_the_next_one_takes_up(
        self, accelerator: Accelerator, products: Store, stubborn: tuple[str, ...]
    ) -> None:
        job = job_of(products)
        (task,) = job.tasks
        made_since = task.model_copy(update={"patches": task.patches.model_copy(update={"partition": "T0"})})
        run = start_run(accelerator, job.model_copy(update={"tasks": (made_since, task)}), stubborn)
        pids = self.started(stubborn)
        run.kill()
        if self.goes_on:
            time.sleep(3)
            assert all(map(alive, pids))
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(launching, "Underway", partial(_then, Path(stubborn[1], "stop").touch, Underway))
                _, said = materialized(job, accelerator, stubborn)
            assert "of an earlier run is at work on this; it is watched, and none is started" in said
            assert self.pids(stubborn) == pids, "no second job was started"
        wait_until(lambda: not any(map(alive, pids)), WITHIN)

    def assert_nothing_is_left(self, products: Store) -> None:
        """Neither the file of a job nor the sign of life of its run."""
        folder = Path(products.root, JOBS)
        assert not folder.exists() or os.listdir(folder) == []

    def pids(self, stubborn: tuple[str, ...]) -> set[int]:
        return {int(file.stem) for file in Path(stubborn[1]).glob("*.pid")}

    def started(self, stubborn: tuple[str, ...]) -> set[int]:
        """Process ids of all ranks and their children, once they run."""
        wait_until(lambda: len(self.pids(stubborn)) == 3)
        assert all(map(alive, self.pids(stubborn)))
        return self.pids(stubborn)
