"""The process between a run and the ranks of its job: none of them outlives what it is for.

``python -m resources.supervisor OPTIONS -- COMMAND…`` runs the command that starts the ranks, on the machine of the
job. It tells the run how they fare (Dagster Pipes, on standard output, between the lines of the ranks), and ends all
that the command started when it is told to, when a rank fails or disappears, when the command is done, and when the
run is gone: its process, or elsewhere the sign of life that it keeps in the store. Should this process be killed
itself, the kernel ends the ranks, and the backend what they started.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from resources.exchange import Exchange, Pulse
from resources.processes import GRACE, MARK, adopt_orphans, alive, die_with_parent, end, new_mark, reap_children
from resources.reports import RankFailure, RankReport, clear, describe_job, read, write

JOB = "job.json"
PATIENCE = 2.0
"""Seconds that a job has to end by itself after a rank has failed."""
EVERY = 5.0
"""Seconds between two lines about the progress."""


class Run(Protocol):
    """How to reach the run."""

    def log(self, line: str) -> None:
        """Write a line into its log."""

    def report(self, content: dict[str, Any]) -> None:
        """Hand over how the job ended."""


def main(arguments: list[str]) -> int:
    """Run a command to its end, or to that of the run; returns the command's exit status, 1 where it was ended."""
    options = _parser().parse_args(arguments)
    told: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: told.append(received))
    # a message that waits in a buffer is none
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    os.environ.setdefault(MARK, new_mark())
    adopt_orphans()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="darts-job-"))
    ends = _Ends(options, told)
    try:
        if options.store is not None:
            (folder / JOB).write_bytes(ends.fetch())
        clear(folder)
        command = [word.replace("{job}", str(folder / JOB)) for word in options.command]
        with _run_told() as run:
            return _supervise(command, folder, run, ends, options.grace)
    finally:
        if options.folder is None or ends.gone:
            shutil.rmtree(folder, ignore_errors=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m resources.supervisor", description=__doc__)
    parser.add_argument("--folder", type=Path, help="where job.json lies and ranks report; else a temporary one")
    parser.add_argument("--run", type=int, help="process of the run, whose end is that of the job")
    parser.add_argument("--store", help="root of the store in which the job and the run's sign of life lie")
    parser.add_argument("--endpoint", help="of the store")
    parser.add_argument("--name", help="of the job in the store")
    parser.add_argument("--patience", type=float, default=10, help="seconds without a sign after which the run is gone")
    parser.add_argument("--grace", type=float, default=GRACE, help="seconds from SIGTERM to SIGKILL")
    parser.add_argument("command", nargs="+", help="starts the ranks; {job} is the file of the job")
    return parser


class _Ends:
    """What can end a job from outside."""

    def __init__(self, options: argparse.Namespace, told: list[int]) -> None:
        self._options, self._told = options, told
        self._pulse: Pulse | None = None

    def fetch(self) -> bytes:
        """The job from the store; from here on the run's sign of life counts."""
        from darts_core.inference.job import StoreAddress

        store = StoreAddress(root=self._options.store, endpoint_url=self._options.endpoint).open()
        exchange = Exchange(store, self._options.name)
        self._pulse = Pulse(exchange, self._options.patience)
        return exchange.job()

    @property
    def gone(self) -> bool:
        """Whether the run is."""
        if self._options.run is not None:
            return os.getppid() != self._options.run
        return self._pulse is not None and self._pulse.lost

    def __str__(self) -> str:
        """Why the job is to end; empty where it is not."""
        if self._told:
            return f"it was told to, by the signal {signal.Signals(self._told[0]).name}"
        return "its run gave no sign of life any more" if self.gone else ""


def _supervise(command: Sequence[str], folder: Path, run: Run, ends: _Ends, grace: float) -> int:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DAGSTER_PIPES_")}
    environment = {**inherited, "TMPDIR": str(folder)}
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        preexec_fn=die_with_parent,
    )
    output, progress, why = _Output(child), _Progress(folder, run), ""
    while child.poll() is None and not (why := str(ends)) and not _failed(folder):
        output.forward()
        progress.tell()
        time.sleep(0.2)
    patience = time.monotonic() + PATIENCE
    while child.poll() is None and not (why := str(ends)) and time.monotonic() < patience:
        output.forward()
        time.sleep(0.2)
    end(os.environ[MARK], grace, reap_children)
    output.forward()
    progress.tell(last=True)
    failed = bool(why) or bool(read(folder, RankFailure))
    status = child.returncode if child.returncode in range(1, 256) else int(failed or child.returncode != 0)
    run.report(
        {
            "status": status,
            "why": why,
            "reports": [report.model_dump() for report in read(folder, RankReport)],
            "failures": [failure.model_dump() for failure in read(folder, RankFailure)],
        }
    )
    return status


class _Output:
    """What the ranks print, carried on by whole lines, so that no message to the run is cut by one."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout is not None
        self._source, self._rest = child.stdout.fileno(), b""
        os.set_blocking(self._source, False)

    def forward(self) -> None:
        try:
            while part := os.read(self._source, 1 << 16):
                *lines, self._rest = (self._rest + part).split(b"\n")
                sys.stdout.writelines(line.decode(errors="replace") + "\n" for line in lines)
        except BlockingIOError:
            return
        if self._rest:
            sys.stdout.write(self._rest.decode(errors="replace") + "\n")
            self._rest = b""


@dataclass
class _Progress:
    """Lines about how far all ranks are."""

    folder: Path
    run: Run
    said: str = ""
    due: float = 0.0

    def tell(self, *, last: bool = False) -> None:
        """Say it, where it is time to and something is new."""
        if not last and time.monotonic() < self.due:
            return
        self.due = time.monotonic() + EVERY
        line = describe_job(read(self.folder, RankReport))
        if line not in ("", self.said):
            self.said = line
            self.run.log(line)


class _Terminal:
    """In place of a run, where nobody but a person looks on."""

    def log(self, line: str) -> None:
        print(line)

    def report(self, content: dict[str, Any]) -> None:
        print(json.dumps(content, indent=1))


class _Pipes:
    def __init__(self, context: Any) -> None:
        self._context = context

    def log(self, line: str) -> None:
        self._context.log.info(line)

    def report(self, content: Mapping[str, Any]) -> None:
        self._context.report_custom_message(content)


@contextmanager
def _run_told() -> Iterator[Run]:
    from dagster_pipes import PipesEnvVarParamsLoader, open_dagster_pipes

    if not PipesEnvVarParamsLoader().is_dagster_pipes_process():
        yield _Terminal()
        return
    with open_dagster_pipes() as context:
        yield _Pipes(context)


def _failed(folder: Path) -> bool:
    """Whether a rank has said that it failed, or one of this machine is gone without a word."""
    here = socket.gethostname()
    gone = {one.rank for one in read(folder, RankReport) if one.host == here and not alive(one.pid)}
    said = {failure.rank for failure in read(folder, RankFailure)}
    for report in read(folder, RankReport) if gone else ():  # once more: the last words of those that are gone
        if report.rank in gone and not report.finished and report.rank not in said:
            reason = f"its process {report.pid} is gone without a word: killed from outside, or for want of memory"
            write(folder, RankFailure(rank=report.rank, scene=report.scene, error=reason))
    return bool(read(folder, RankFailure))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
