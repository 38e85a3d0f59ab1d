"""The processes of a job, and that none of them outlives it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from darts_core.superresolution.job import JobError
from resources.launcher import supervise

STUBBORN = """
import os, signal, subprocess, sys, time
from pathlib import Path
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
folder, depth = Path(sys.argv[1]), int(sys.argv[2])
if depth:
    subprocess.Popen([sys.executable, __file__, folder, str(depth - 1)], start_new_session=depth == 2)
(folder / f"pid-{depth}").write_text(str(os.getpid()))
time.sleep(600)
"""
"""Ignores what can be ignored, as do its child, in a session of its own, and that one's child."""

RUN = """
import signal
import sys
from pathlib import Path
from resources.launcher import supervise
# a shell that starts the tests in its background leaves SIGINT ignored
signal.signal(signal.SIGINT, signal.default_int_handler)
supervise([sys.executable, sys.argv[2], sys.argv[1], "2"], Path(sys.argv[1]), {})
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "job"
    made.mkdir()
    return made


def failing_rank(folder: Path, last_words: str) -> list[str]:
    """Two ranks, of which one says why it fails, in a way or another, and the other sleeps."""
    script = folder / "ranks.py"
    script.write_text(
        f"""
import os, time
from pathlib import Path
from resources.reports import RankFailure, RankReport, write
folder = Path({str(folder)!r})
print("before")
if os.fork():
    time.sleep(600)
{last_words}
"""
    )
    return [sys.executable, str(script)]


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_the_output_goes_to_stderr_and_the_rank_of_the_run_is_not_that_of_its_job(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_PROCID", "3")
    monkeypatch.setenv("WORLD_SIZE", "8")
    shown = "import os; print(sorted(name for name in os.environ if name in ('SLURM_PROCID', 'WORLD_SIZE', 'OWN')))"
    supervise([sys.executable, "-c", shown], folder, {"OWN": "1"})
    assert capfd.readouterr().err == "['OWN']\n"


def test_the_last_words_of_a_rank_are_the_error_and_the_other_ranks_are_ended(folder: Path) -> None:
    said = 'write(folder, RankFailure(rank=1, error="ValueError: odd", traceback="line 1\\nline 2"))'
    with pytest.raises(JobError, match=r"(?s)^Rank 1 failed: ValueError: odd\n.*\nLast lines:\nline 1\nline 2$"):
        supervise(failing_rank(folder, said), folder, {})
    assert not [one for one in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(one.info["cmdline"] or "")]


def test_a_rank_that_is_killed_is_named(folder: Path) -> None:
    killed = "write(folder, RankReport(rank=1, pid=os.getpid())); os.kill(os.getpid(), 9)"
    with pytest.raises(
        JobError, match=r"(?s)Rank 1 failed: its process \d+ is gone without a word.*Last lines:\nbefore"
    ):
        supervise(failing_rank(folder, killed), folder, {})


def test_a_command_that_fails_without_a_rank_tells_its_status_and_its_last_lines(folder: Path) -> None:
    with pytest.raises(JobError, match=r"(?s)The job ended with the status 3.*Last lines:\n.*no such luck"):
        supervise([sys.executable, "-c", "import sys; print('no such luck'); sys.exit(3)"], folder, {})


def test_nothing_outlives_a_run_that_is_cancelled_or_killed_nor_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "stubborn.py"
    script.write_text(STUBBORN)
    runs = {}
    for case in ("cancelled", "run killed", "supervisor killed"):
        folder = tmp_path / case
        folder.mkdir()
        command = [sys.executable, "-c", RUN, str(folder), str(script)]
        runs[case] = folder, subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    trees = {}
    for case, (folder, run) in runs.items():
        files = [folder / f"pid-{depth}" for depth in range(3)]
        wait_until(lambda files=files: all(file.exists() and file.read_text() for file in files))
        (supervisor,) = psutil.Process(run.pid).children()
        trees[case] = [supervisor.pid, *(int(file.read_text()) for file in files)]
        assert all(map(alive, trees[case]))
        if case == "cancelled":
            run.send_signal(signal.SIGINT)
        else:
            os.kill(run.pid if case == "run killed" else supervisor.pid, signal.SIGKILL)
    within = time.monotonic() + 15
    for case, pids in trees.items():
        wait_until(lambda pids=pids: not any(map(alive, pids)), within - time.monotonic())
        run = runs[case][1]
        assert run.wait(5) == {"cancelled": -signal.SIGINT, "run killed": -signal.SIGKILL}.get(case, 1), case
    assert not runs["run killed"][0].exists(), "nobody is left to read it"
    assert "JobError: Its supervisor was killed" in runs["supervisor killed"][1].communicate()[1]
