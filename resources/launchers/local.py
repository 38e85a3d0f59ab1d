"""Jobs on this machine, each under a supervisor of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from resources.launchers.backend import Request, State, inherited
from resources.launchers.messages import Tail
from resources.processes import GRACE, MARK, end, end_orphans, new_mark
from resources.supervisor import JOB, PATIENCE


class LocalBackend:
    """This machine."""

    def check(self, request: Request) -> None:
        """Nothing beyond what `Accelerator.resolve` has found out: the devices are those of this machine."""

    def laid(self, request: Request) -> tuple[Request, ...]:
        """None: a job on this machine ends with its run."""
        return ()

    def find(self, request: Request) -> None:
        """None, likewise."""

    def submit(self, request: Request, variables: Mapping[str, str]) -> LocalJob:
        """Start it, once no rank is left whose own run was killed: a device has one at a time."""
        end_orphans()
        folder = Path(tempfile.mkdtemp(prefix="darts-job-"))
        (folder / JOB).write_text(request.text)
        return LocalJob(folder, [sys.executable, *request.rank], variables)


class LocalJob:
    """A supervisor in a session of its own, and what it started."""

    def __init__(self, folder: Path, command: list[str], variables: Mapping[str, str]) -> None:
        self._folder, self._mark = folder, new_mark()
        supervisor = [sys.executable, "-m", "resources.supervisor", "--folder", str(folder), "--run", str(os.getpid())]
        log = folder / "output.log"
        with open(log, "wb") as output:
            self._supervisor = subprocess.Popen(
                [*supervisor, "--", *command],
                env={**inherited(), **variables, MARK: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._log = Tail(log)

    def __str__(self) -> str:
        return f"the job under the process {self._supervisor.pid}"

    def state(self) -> State:
        status = self._supervisor.poll()
        if status is None:
            return State(running=True)
        end(self._mark)  # a supervisor that was killed leaves some
        return State(running=False, note=f"the signal {-status}" if status < 0 else "")

    def output(self) -> str:
        return self._log.read()

    def end(self) -> None:
        self._supervisor.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._supervisor.wait(PATIENCE + 2 * GRACE)
        self._supervisor.kill()
        self._supervisor.wait()
        end(self._mark)

    def remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
