"""Jobs of a Ray cluster, submitted and watched through the address of its dashboard.

Nodes and this machine share nothing but the store. A job ends by itself when its run has given no sign of life for a
while; the next run of the same products that comes before that goes on watching it. All ranks are on one node.
"""

from __future__ import annotations

import re
import shlex
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from resources.launchers.backend import JobError, Request, State, Unreachable, read_requests
from resources.launchers.configuration import RayConfig

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

KEY = "darts-job"
"""Name of the job in the metadata of Ray."""
STOP = 10.0
"""Seconds that Ray has to stop a job."""
GRACE = 1.5
"""Seconds from SIGTERM to SIGKILL, for Ray kills the supervisor after 3."""

Answer = TypeVar("Answer")


class RayBackend:
    """A cluster."""

    def __init__(self, config: RayConfig) -> None:
        self._config = config
        try:
            from ray.job_submission import JobSubmissionClient

            self._client = JobSubmissionClient(config.address, headers=config.headers or None)
        except ImportError as error:
            raise JobError(f"The launcher ray needs the package ray: pip install 'ray[default]' ({error})") from error
        except (ConnectionError, RuntimeError) as error:
            raise JobError(
                f"No Ray cluster takes jobs at {config.address}: {_first_line(error)}. Expected the address of its "
                "dashboard, such as http://head:8265, set as address in [ray]"
            ) from error

    def check(self, request: Request) -> None:
        """Compare what the job takes with the nodes of the cluster.

        Raises:
            JobError: no node has as much, and none is to come.
        """
        from ray.util.state import list_nodes

        wanted = self._wanted(request)
        nodes = _asked(
            lambda: list_nodes(self._config.address, filters=[("state", "=", "ALIVE")], raise_on_missing_output=False)
        )
        there = [dict(node.resources_total) for node in nodes]
        if self._config.autoscales or any(
            all(one.get(name, 0) >= amount for name, amount in wanted.items()) for one in there
        ):
            return
        shown = "; ".join(_said({name: one[name] for name in ("CPU", "GPU", *wanted) if name in one}) for one in there)
        raise JobError(
            f"The job {request.name} with {request.job.ranks} ranks takes {_said(wanted)} of one node; the nodes of "
            f"{self._config.address} have {shown or 'nothing'}. Ask for fewer ranks or less for each"
        )

    def laid(self, request: Request) -> Iterator[Request]:
        """The jobs in the store."""
        return read_requests(request.exchange.jobs())

    def find(self, request: Request) -> RayJob | None:
        """The job of this name that runs or waits."""
        jobs = _asked(self._client.list_jobs)
        for job in jobs:
            if job.metadata and job.metadata.get(KEY) == request.name and not job.status.is_terminal():
                return RayJob(self._client, str(job.submission_id), request)
        return None

    def submit(self, request: Request, variables: Mapping[str, str]) -> RayJob:
        """Lay the job into the store, and its supervisor onto a node that has what its ranks take.

        Raises:
            JobError: Ray refuses it.
        """
        config, wanted = self._config, self._wanted(request)
        request.exchange.put(request.text.encode())
        given = dict(config.runtime_env)
        number = _asked(
            lambda: self._client.submit_job(
                entrypoint=shlex.join(request.supervised_from_store(config.python, config.patience_s, GRACE)),
                submission_id=f"{request.name}-{uuid.uuid4().hex[:8]}",
                metadata={KEY: request.name},
                runtime_env={**given, "env_vars": {**given.get("env_vars", {}), **variables}},
                entrypoint_num_cpus=wanted.pop("CPU"),
                entrypoint_num_gpus=wanted.pop("GPU", 0),
                entrypoint_resources=wanted,
            )
        )
        return RayJob(self._client, number, request)

    def _wanted(self, request: Request) -> dict[str, float]:
        """Of one node, by Ray's names."""
        config, ranks = self._config, request.job.ranks
        gpus = {"GPU": config.gpus_per_rank * ranks} if config.gpus_per_rank else {}
        return {"CPU": config.cpus_per_rank * ranks, **gpus, **config.resources}


class RayJob:
    """A job of Ray, whoever submitted it; while this lives, the job knows that somebody waits for it."""

    def __init__(self, client: JobSubmissionClient, number: str, request: Request) -> None:
        self._client, self._number, self._exchange = client, number, request.exchange
        self._stop_beating = self._exchange.keep_alive()
        self._read = 0

    def __str__(self) -> str:
        return f"Ray's job {self._number}"

    def state(self) -> State:
        job = _asked(lambda: self._client.get_job_info(self._number))
        said = "" if job.status in ("RUNNING", "SUCCEEDED") else f"{job.status}: {job.message}"
        return State(running=not job.status.is_terminal(), note=said)

    def output(self) -> str:
        text = str(_asked(lambda: self._client.get_job_logs(self._number)))
        part, self._read = text[self._read :], max(self._read, len(text))
        return part

    def end(self) -> None:
        """Stop it.

        Raises:
            JobError: Ray does not.
        """
        _asked(lambda: self._client.stop_job(self._number))
        deadline = time.monotonic() + STOP
        while self.state().running:
            if time.monotonic() > deadline:
                raise JobError(f"{self} was stopped, and Ray says that it is {self.state().note or 'RUNNING'}")
            time.sleep(0.25)

    def remove(self) -> None:
        self._stop_beating()
        self._exchange.remove()


def _asked(question: Callable[[], Answer]) -> Answer:
    import requests

    try:
        return question()
    except (ConnectionError, requests.exceptions.RequestException) as error:
        raise Unreachable(f"Ray does not answer: {_first_line(error)}") from error
    except RuntimeError as error:
        passing = re.search(r"status code 5\d\d", str(error))
        raise (Unreachable if passing else JobError)(f"Ray refuses: {_first_line(error)}") from error


def _said(resources: Mapping[str, Any]) -> str:
    return ", ".join(f"{amount:g} {name}" for name, amount in resources.items()) or "nothing"


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
