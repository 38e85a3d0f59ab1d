"""Starts a job in processes of its own, tells the run how it fares, and leaves none of them behind."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import dagster as dg

from darts_core.superresolution.job import JobError, SuperResolveJob
from resources.reports import RankFailure, RankReport, read
from resources.supervisor import GRACE, MARK, PATIENCE, end

FOREIGN = (
    *("SLURM_", "TORCHELASTIC_", "MASTER_", "WORLD_SIZE", "RANK"),
    *("LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK", "GROUP_RANK"),
)
"""How the variables begin that tell a process its rank: those of the run itself are not those of its job."""
LAST_LINES = 80


def launch(context: dg.AssetExecutionContext, job: SuperResolveJob) -> dict[str, Any]:
    """Run a job in supervised processes on this machine until it is done.

    Args:
        context: of the run; log lines of the first rank appear in it.

    Returns:
        How it went, for the run's metadata.

    Raises:
        JobError: a rank failed; with its last lines.
    """
    with tempfile.TemporaryDirectory(prefix="darts-job-") as name:
        folder = Path(name)
        file = folder / "job.json"
        file.write_text(job.model_dump_json(indent=1))
        with dg.open_pipes_session(
            context,
            dg.PipesFileContextInjector(str(folder / "context")),
            dg.PipesFileMessageReader(str(folder / "messages")),
        ) as session:
            supervise([sys.executable, "-m", "resources.worker", str(file)], folder, session.get_bootstrap_env_vars())
        (reports,) = session.get_custom_messages()
    return _metadata([RankReport(**report) for report in reports])


def supervise(command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> None:
    """Run a command and all that it starts, in a session of its own, to its end or to ours.

    Args:
        command: what starts the ranks.
        folder: where they leave what they have to say, and temporary files; their output goes to `output.log` in it,
            and to stderr.
        variables: added to the environment of this process.

    Raises:
        JobError: a rank or the command failed.
    """
    mark = uuid.uuid4().hex
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    log = folder / "output.log"
    with open(log, "wb") as output, open(log, errors="replace") as written:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "resources.supervisor", str(os.getpid()), str(folder), *command],
            env={**inherited, **variables, MARK: mark, "TMPDIR": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while supervisor.poll() is None:
                time.sleep(0.1)
                sys.stderr.write(written.read())
        finally:
            supervisor.terminate()
            with suppress(subprocess.TimeoutExpired):
                supervisor.wait(PATIENCE + 2 * GRACE)
            supervisor.kill()
            supervisor.wait()
            end(mark)
            sys.stderr.write(written.read())
    if supervisor.returncode:
        raise JobError(_reason(folder, supervisor.returncode))


def _reason(folder: Path, status: int) -> str:
    """Which ranks failed and why, those that had no last words first, and the last lines of the first that had."""
    failures = sorted(read(folder, RankFailure), key=lambda failure: bool(failure.traceback))
    said = [failure.traceback for failure in failures if failure.traceback]
    heads = [f"Rank {failure.rank} failed: {failure.error}" for failure in failures]
    lines = (said[0] if said else (folder / "output.log").read_text(errors="replace")).rstrip().splitlines()
    return "\n".join(
        [
            *(heads or [f"The job ended with the status {status}" if status > 0 else "Its supervisor was killed"]),
            "What is published stays; the next run computes the rest.",
            *(["Last lines:"] if lines else []),
            *lines[-LAST_LINES:],
        ]
    )


def _metadata(reports: Sequence[RankReport]) -> dict[str, Any]:
    fresh = sum(report.done - report.before for report in reports)
    seconds = max(report.seconds for report in reports)
    rows = [
        f"| {one.rank} | {one.device} | {one.done - one.before:,} | {one.seconds:.1f} | {one.megabytes:,} "
        f"| {one.device_megabytes:,} |"
        for one in sorted(reports, key=lambda one: one.rank)
    ]
    return {
        "windows predicted": fresh,
        "windows a second": round(fresh / seconds, 2) if seconds else 0.0,
        "ranks": "\n".join(
            [
                "| rank | device | windows | seconds | peak memory, MB | of the GPU, MB |",
                "| --: | --- | --: | --: | --: | --: |",
                *rows,
            ]
        ),
        "reading ahead": next((report.flow for report in reports if report.flow), ""),
    }
