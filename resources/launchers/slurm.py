"""Jobs of Slurm: submitted with sbatch, watched through a folder that all nodes see.

A job goes on when its run is gone, and the next run of the same products finds it by its name. It is ended through its
supervisor, which runs in place of the batch script and ends what it started within seconds; Slurm's own `KillWait`
may be minutes. Slurm counts a job of the same name and user as one to wait for (`singleton`), so that two runs that
start at once do not use two devices.
"""

from __future__ import annotations

import getpass
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from resources.launchers.backend import JobError, Request, State, Unreachable, inherited, read_requests
from resources.launchers.configuration import SlurmConfig
from resources.launchers.messages import Tail
from resources.processes import GRACE
from resources.supervisor import JOB

ENDED = {
    *("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL"),
    *("DEADLINE", "PREEMPTED", "REVOKED"),
}
"""States of Slurm from which a job does not come back; a requeued one is PENDING again."""
SCRIPT, LOG = "job.sh", "output.log"
WARNING = 60
"""Seconds before the time limit at which the supervisor is told to end the job."""


class SlurmBackend:
    """The cluster whose commands this machine has."""

    def __init__(self, config: SlurmConfig) -> None:
        self._config = config

    def check(self, request: Request) -> None:
        """Have Slurm judge the job without submitting it.

        Raises:
            JobError: what Slurm says, and which partitions it has; no shared folder.
        """
        script = self._script(request, self._folder(request))
        judged = _slurm("sbatch", "--test-only", text=script)
        if judged.returncode:
            there = _slurm("sinfo", "--noheader", "--format=%P: %D nodes, %c cores, %m MB, %G, at most %l, %a").stdout
            raise JobError(
                f"Slurm refuses the job {request.name}: {_said(judged)}. It was asked for {self._asked(request)}; "
                f"there are the partitions {'; '.join(there.split(chr(10))).strip('; ') or 'none'}"
            )

    def laid(self, request: Request) -> Iterator[Request]:
        """The jobs in the shared folder."""
        for file in self._folder(request).parent.glob(f"*/{JOB}"):
            with suppress(FileNotFoundError):
                yield from read_requests([file.read_bytes()])

    def find(self, request: Request) -> SlurmJob | None:
        """The job of this name that runs or waits: the first, for others wait for it."""
        mine = ("--user", getpass.getuser(), "--name", request.name)
        listed = _require(_slurm("squeue", "--noheader", *mine, "--format=%i", "--sort=i")).split()
        return SlurmJob(int(listed[0]), self._folder(request), self._config.poll_s) if listed else None

    def submit(self, request: Request, variables: Mapping[str, str]) -> SlurmJob:
        """Lay script and job into the shared folder, and hand the script to sbatch.

        Raises:
            JobError: Slurm refuses it.
        """
        folder = self._folder(request)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / JOB).write_text(request.text)
        (folder / LOG).touch()
        (folder / SCRIPT).write_text(self._script(request, folder))
        # what the environment holds of credentials goes with the job, and into no file
        submitted = _slurm("sbatch", "--parsable", str(folder / SCRIPT), environment=variables)
        number = _require(submitted).strip().partition(";")[0]
        return SlurmJob(int(number), folder, self._config.poll_s)

    def _folder(self, request: Request) -> Path:
        store = request.exchange.store
        if self._config.folder is not None:
            return Path(self._config.folder) / request.name
        if not store.local:
            raise JobError(
                f"With products in {store.root}, Slurm's nodes and this machine need a folder that all of them see, "
                "for the job's file and output: set folder in [slurm]"
            )
        return Path(request.exchange.path())

    def _asked(self, request: Request) -> str:
        config = self._config
        asked: dict[str, str | int | None] = {
            **{"partition": config.partition, "account": config.account, "qos": config.qos, "gres": config.gres},
            **{"nodes": config.nodes, "ranks": request.job.ranks, "cores a rank": config.cpus_per_rank},
            **{"memory": config.memory, "time limit": config.time_limit},
        }
        return ", ".join(f"{name} {value}" for name, value in asked.items() if value is not None)

    def _script(self, request: Request, folder: Path) -> str:
        """The batch script: options, the set-up, and the supervisor in place of the shell.

        Raises:
            JobError: ranks that nodes cannot share evenly.
        """
        config, ranks = self._config, request.job.ranks
        if ranks % config.nodes:
            raise JobError(f"{ranks} ranks cannot be shared evenly by {config.nodes} nodes; choose a multiple")
        options = {
            "job-name": request.name,
            "output": folder / LOG,
            "open-mode": "append",
            "dependency": "singleton",
            "signal": f"B:TERM@{WARNING}",
            "nodes": config.nodes,
            "ntasks": ranks,
            "ntasks-per-node": ranks // config.nodes,
            "cpus-per-task": config.cpus_per_rank,
            "partition": config.partition,
            "account": config.account,
            "qos": config.qos,
            "time": config.time_limit,
            "gres": config.gres,
            "mem": config.memory,
        }
        chosen = [f"--{name}={value}" for name, value in options.items() if value is not None]
        ranks_started = ["srun", "--kill-on-bad-exit=1", f"--cpus-per-task={config.cpus_per_rank}", config.python]
        supervisor = [config.python, "-m", "resources.supervisor", "--folder", str(folder)]
        return "\n".join(
            [
                "#!/bin/bash",
                *(f"#SBATCH {option}" for option in (*chosen, "--requeue", *config.extra)),
                *config.setup,
                f"exec {shlex.join([*supervisor, '--', *ranks_started, *request.rank])}",
                "",
            ]
        )


class SlurmJob:
    """A job of Slurm, whoever submitted it."""

    def __init__(self, number: int, folder: Path, poll: float) -> None:
        self._number, self._folder, self._poll = number, folder, poll
        self._asked, self._state = 0.0, State(running=True)
        self._log = Tail(folder / LOG)

    def __str__(self) -> str:
        return f"Slurm's job {self._number}"

    def state(self) -> State:
        if time.monotonic() - self._asked > self._poll:
            self._state = self._ask()
            self._asked = time.monotonic()
        return self._state

    def _ask(self) -> State:
        shown = _slurm("scontrol", "--oneliner", "show", "job", str(self._number))
        if shown.returncode:
            # Slurm forgets a job some minutes after its end; a controller that restarts forgets none
            if "Invalid job id" in shown.stderr:
                return State(running=False)
            raise Unreachable(f"Slurm does not answer: {_said(shown)}")
        facts = dict(re.findall(r"(\S+?)=(\S*)", shown.stdout))
        state, reason = facts["JobState"], facts.get("Reason", "None")
        where = facts.get("BatchHost") if state == "RUNNING" else None if reason == "None" else reason
        note = f"{state}{f' on {where}' if state == 'RUNNING' else f' ({where})' if where else ''}"
        return State(running=state not in ENDED, note=note)

    def output(self) -> str:
        return self._log.read()

    def end(self) -> None:
        """Tell the supervisor, then Slurm; a job that still waits is cancelled at once.

        Raises:
            JobError: Slurm still counts it among those that run.
        """
        number = str(self._number)
        if self._ask().note.startswith("PENDING"):
            _slurm("scancel", "--state=PENDING", number)
        _slurm("scancel", "--batch", "--signal=TERM", number)
        if not self._gone(GRACE + 3):
            _slurm("scancel", "--full", "--signal=KILL", number)
            _slurm("scancel", number)
            if not self._gone(GRACE):
                raise JobError(f"{self} was cancelled, and Slurm says that it is {self._ask().note}")

    def _gone(self, within: float) -> bool:
        """Whether no process is left, which Slurm calls COMPLETING while there are."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            if not self._ask().running:
                return True
            time.sleep(0.25)
        return False

    def remove(self) -> None:
        with suppress(FileNotFoundError):
            shutil.rmtree(self._folder)


def _slurm(
    *command: str, text: str | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one of Slurm's commands.

    Raises:
        JobError: this machine does not have it.
    """
    variables = {**inherited(), **(environment or {})}
    try:
        return subprocess.run(command, input=text, env=variables, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise JobError(
            f"This machine has no {command[0]}; the launcher slurm runs where jobs can be submitted, on a login node"
        ) from error


def _require(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode:
        raise JobError(f"{done.args[0]} failed: {_said(done)}")
    return done.stdout


def _said(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr.strip() or done.stdout.strip() or f"status {done.returncode}").splitlines()
    return "; ".join(re.sub(r"^\w+: (error: )?", "", line) for line in lines)
