"""What a backend is to `launch`: it starts a job, says how it fares, and ends it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from darts_core.inference.job import JobError
from darts_core.jobs import Job, job_name, read_job
from resources.exchange import Exchange

__all__ = ["FOREIGN", "RANK", "Backend", "JobError", "Launched", "Request", "State", "Unreachable", "inherited"]

RANK = ("-m", "resources.worker", "{job}")
"""What a rank runs: arguments of Python, in which {job} is the file of the job."""

FOREIGN = (
    *("SLURM_", "TORCHELASTIC_", "MASTER_", "WORLD_SIZE", "RANK"),
    *("LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK", "GROUP_RANK"),
)
"""How the variables begin that tell a process its rank: those of the run itself are not those of its job."""


class Unreachable(JobError):
    """A backend that does not answer now, and may later."""


def inherited() -> dict[str, str]:
    """The environment of this process that is a job's too; the configuration of Slurm's own commands stays."""
    kept = ("SLURM_CONF",)
    return {name: value for name, value in os.environ.items() if name in kept or not name.startswith(FOREIGN)}


@dataclass(frozen=True, slots=True)
class Request:
    """A job to be started."""

    job: Job
    rank: tuple[str, ...] = RANK
    """What a rank runs."""

    @property
    def name(self) -> str:
        """What the job goes by wherever it is queued."""
        return job_name(self.job)

    @property
    def text(self) -> str:
        """The file of the job."""
        return self.job.model_dump_json(indent=1)

    @property
    def exchange(self) -> Exchange:
        """Its place in the store."""
        return Exchange(self.job.store.open(), self.name)

    def supervised_from_store(self, python: str, patience: float, grace: float) -> list[str]:
        """The command for a machine that shares nothing but the store."""
        address = self.job.store
        endpoint = ["--endpoint", address.endpoint_url] if address.endpoint_url else []
        where = ["--store", address.root, *endpoint, "--name", self.name]
        limits = ["--patience", str(patience), "--grace", str(grace)]
        return [python, "-m", "resources.supervisor", *where, *limits, "--", python, *self.rank]


def read_requests(files: Iterable[bytes]) -> Iterator[Request]:
    """The jobs that these files hold; one of another release is none of ours."""
    for file in files:
        with suppress(JobError):
            yield Request(read_job(file, "a job"))


@dataclass(frozen=True, slots=True)
class State:
    """How a job fares in its backend."""

    running: bool
    """Or waiting to."""
    note: str = ""
    """What the backend says about it, for people."""


class Launched(Protocol):
    """A job that was started."""

    def state(self) -> State:
        """How it fares now."""

    def output(self) -> str:
        """What it has printed since the last call."""

    def end(self) -> None:
        """End it, and return when no process of it is left.

        Raises:
            JobError: some are left after all.
        """

    def remove(self) -> None:
        """Remove what the backend keeps of a job that has ended."""


class Backend(Protocol):
    """Where jobs run."""

    def check(self, request: Request) -> None:
        """Find out before the start what it would fail for.

        Raises:
            JobError: what was asked for, and what is there.
        """

    def laid(self, request: Request) -> Iterable[Request]:
        """The jobs that lie where this one would: of runs that go on, or that were lost."""

    def find(self, request: Request) -> Launched | None:
        """A job of this name that an earlier run started, and that still runs or waits."""

    def submit(self, request: Request, variables: Mapping[str, str]) -> Launched:
        """Start it, with these variables in its environment.

        Raises:
            JobError: the backend refuses it.
        """
