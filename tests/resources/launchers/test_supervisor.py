"""The processes of a job on this machine: none of them outlives its run, and no two jobs have one device."""

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest
from support.launchers import STUBBORN, WITHIN, alive, job_of, materialized, start_run, wait_until

from darts_core.inference.job import JobError
from darts_core.store import Store
from resources.accelerator import Accelerator
from resources.launchers.configuration import Launcher

LOCAL = Accelerator(device="cpu", launcher=Launcher.LOCAL)

KILLED = """
import os, socket, sys, time
from pathlib import Path
from resources.reports import RankReport, write
print("before")
if os.fork():
    time.sleep(600)
write(Path(sys.argv[1]).parent, RankReport(rank=1, host=socket.gethostname(), pid=os.getpid()))
os.kill(os.getpid(), 9)
"""

ALONE = """
import os, signal, sys, time
from pathlib import Path
import psutil
signal.signal(signal.SIGTERM, signal.SIG_IGN)
folder = Path(sys.argv[1])
pids = [int(file.stem) for file in folder.glob("*.pid")]
if any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids):
    (folder / "two at once").touch()
(folder / f"{os.getpid()}.pid").touch()
time.sleep(600)
"""
"""A rank that does not want to go, and says where another one is on the device when it starts."""


@pytest.fixture
def products(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def test_what_ranks_print_is_seen_and_the_rank_of_the_run_is_not_that_of_its_job(
    products: Store, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_PROCID", "3")
    monkeypatch.setenv("WORLD_SIZE", "8")
    names = "('SLURM_PROCID', 'WORLD_SIZE', 'DAGSTER_PIPES_CONTEXT', 'PATH')"
    materialized(job_of(products), LOCAL, ("-c", f"import os; print([n for n in os.environ if n in {names}])"))
    assert "\n['PATH']\n" in capfd.readouterr().err


def test_a_rank_that_is_killed_is_named_and_the_others_are_ended(products: Store, tmp_path: Path) -> None:
    (tmp_path / "ranks.py").write_text(KILLED)
    with pytest.raises(
        JobError, match=r"(?s)Rank 1 failed: its process \d+ is gone without a word.*Last lines:\nbefore"
    ):
        materialized(job_of(products), LOCAL, (str(tmp_path / "ranks.py"), "{job}"))
    assert not [one for one in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(one.info["cmdline"] or "")]


def test_a_supervisor_that_is_killed_fails_the_run_and_leaves_nothing(products: Store, tmp_path: Path) -> None:
    script, pids = tmp_path / "stubborn.py", tmp_path / "pids"
    script.write_text(STUBBORN)
    pids.mkdir()
    run = start_run(LOCAL, job_of(products), (str(script), str(pids), "2"))
    wait_until(lambda: len(list(pids.iterdir())) == 3)
    (supervisor,) = psutil.Process(run.pid).children()
    os.kill(supervisor.pid, signal.SIGKILL)
    assert run.wait(WITHIN) == 1
    assert not [file for file in pids.iterdir() if alive(int(file.stem))]
    assert "JobKilled: The job ended without a word (the signal 9): its supervisor was killed" in run.communicate()[1]


def test_a_device_never_has_two_jobs_however_runs_are_killed_and_tried_again(products: Store, tmp_path: Path) -> None:
    script, pids = tmp_path / "alone.py", tmp_path / "pids"
    script.write_text(ALONE)
    pids.mkdir()
    for number in range(1, 4):
        run = start_run(LOCAL, job_of(products), (str(script), str(pids)))
        wait_until(lambda number=number: len(list(pids.glob("*.pid"))) == number)
        if number == 2:  # nor where nobody is left to end the ranks but the next run
            for supervisor in psutil.Process(run.pid).children():
                supervisor.suspend()
        run.kill()
        run.wait()
    wait_until(lambda: not [file for file in pids.glob("*.pid") if alive(int(file.stem))], WITHIN)
    assert not (pids / "two at once").exists()


def test_a_supervisor_alone_tells_a_person_what_it_would_tell_a_run(tmp_path: Path) -> None:
    import subprocess

    command = [sys.executable, "-m", "resources.supervisor", "--", sys.executable, "-c", "print('hello'); exit(4)"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert done.stdout.startswith('hello\n{\n "status": 4')
