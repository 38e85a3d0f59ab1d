"""Jobs of Slurm, on a real one of one node."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support import slurm
from support.launchers import LauncherConformance, alive, job_of, materialized, start_run, wait_until

from darts_core.store import Store
from resources.accelerator import Accelerator
from resources.launchers.backend import JobError, Request
from resources.launchers.configuration import Launcher, SlurmConfig
from resources.launchers.slurm import SlurmBackend


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if reason := slurm.missing():
        pytest.skip(reason)
    with slurm.one_node(tmp_path_factory.mktemp("slurm")) as conf, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(conf))
        yield conf


def command(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


class TestSlurm(LauncherConformance):
    goes_on = True

    @pytest.fixture
    def accelerator(self, cluster: Path) -> Accelerator:
        config = SlurmConfig(time_limit="10", poll_s=0.3, setup=["export SET_UP=1"])
        return Accelerator(device="cpu", launcher=Launcher.SLURM, ranks=2, slurm=config)

    @pytest.fixture
    def wrong(self, cluster: Path) -> tuple[Accelerator, str]:
        config = SlurmConfig(partition="gpu", gres="gpu:4")
        told = r"asked for partition gpu, gres gpu:4, nodes 1, ranks 2.*partitions cpu\*: 1 nodes"
        return Accelerator(device="cuda", launcher=Launcher.SLURM, ranks=2, slurm=config), told

    def test_a_job_that_loses_its_node_starts_again(
        self, accelerator: Accelerator, products: Store, stubborn: tuple[str, ...]
    ) -> None:
        run = start_run(accelerator, job_of(products), stubborn)
        first = self.started(stubborn)
        node = command("sinfo", "--noheader", "--format=%N")
        command("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        number = command("squeue", "--noheader", "--format=%i")
        assert command("squeue", "--noheader", "--format=%T") == "PENDING"
        # the node comes back by itself, for its daemon still answers; Slurm would give it two minutes to clear up
        wait_until(lambda: not any(map(alive, first)))
        wait_until(lambda: not [one for one in psutil.process_iter(["name"]) if one.info["name"] == "slurmstepd"])
        command("scontrol", "update", f"jobid={number}", "starttime=now")
        wait_until(lambda: len(self.pids(stubborn)) == 6, 60)
        Path(stubborn[1], "stop").touch()
        assert run.wait(60) == 0, run.communicate()[1]
        assert command("squeue", "--noheader") == ""

    def test_a_job_that_waits_is_cancelled_at_once_and_says_why_it_waits(
        self, accelerator: Accelerator, products: Store, stubborn: tuple[str, ...]
    ) -> None:
        config = accelerator.slurm.model_copy(update={"extra": ["--begin=now+1hour"]})
        run = start_run(accelerator.model_copy(update={"slurm": config}), job_of(products), stubborn)
        wait_until(lambda: command("squeue", "--noheader", "--format=%T") == "PENDING")
        run.terminate()
        run.wait(15)
        assert command("squeue", "--noheader") == ""
        assert not self.pids(stubborn)


def test_the_script_says_what_is_configured(tmp_path: Path) -> None:
    config = SlurmConfig(
        partition="gpu",
        account="thaw",
        time_limit="1-00:00:00",
        nodes=2,
        gres="gpu:4",
        cpus_per_rank=8,
        memory="64G",
        extra=["--constraint=a100"],
        setup=["module load cuda"],
        python="/env/bin/python",
    )
    request = Request(job_of(Store(str(tmp_path)), ranks=8, device="cuda"))
    lines = SlurmBackend(config)._script(request, Path("/shared/it's")).splitlines()
    assert lines[0] == "#!/bin/bash"
    assert {
        f"#SBATCH --job-name={request.name}",
        "#SBATCH --ntasks=8",
        "#SBATCH --ntasks-per-node=4",
        "#SBATCH --gres=gpu:4",
        "#SBATCH --account=thaw",
        "#SBATCH --dependency=singleton",
        "#SBATCH --requeue",
        "#SBATCH --constraint=a100",
    } <= set(lines)
    assert lines[-2] == "module load cuda"
    assert lines[-1] == (
        """exec /env/bin/python -m resources.supervisor --folder '/shared/it'"'"'s' -- srun --kill-on-bad-exit=1 """
        "--cpus-per-task=8 /env/bin/python -m resources.worker '{job}'"
    )
    assert not [line for line in lines if "qos" in line]


def test_ranks_that_nodes_cannot_share_and_a_store_that_nodes_cannot_see_are_refused(tmp_path: Path) -> None:
    request = Request(job_of(Store(str(tmp_path)), ranks=3))
    with pytest.raises(JobError, match="3 ranks cannot be shared evenly by 2 nodes"):
        SlurmBackend(SlurmConfig(nodes=2)).check(request)
    remote = request.job.model_copy(update={"store": request.job.store.model_copy(update={"root": "s3://bucket"})})
    with pytest.raises(JobError, match=r"need a folder that all of them see.*set folder in \[slurm\]"):
        SlurmBackend(SlurmConfig()).check(Request(remote))


def test_a_machine_without_slurm_says_where_it_is_to_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    accelerator = Accelerator(device="cpu", launcher=Launcher.SLURM)
    with pytest.raises(JobError, match=r"This machine has no sbatch; the launcher slurm runs .* on a login node"):
        materialized(job_of(Store(str(tmp_path))), accelerator)
