"""Jobs of every kind: the file that says what ranks do, and what one of them does with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from darts_core.inference.job import JobError
from darts_core.segmentation import job as segmentation
from darts_core.segmentation.job import SegmentJob
from darts_core.superresolution import job as superresolution
from darts_core.superresolution.job import SuperResolveJob

if TYPE_CHECKING:
    from darts_core.inference.ranks import Placement, Watch

VERSION = 1
Job = SuperResolveJob | SegmentJob
_JOB: TypeAdapter[Job] = TypeAdapter(Annotated[Job, Field(discriminator="kind")])


def read_job(text: str | bytes, source: str) -> Job:
    """The job that a file holds.

    Args:
        source: what errors call the file.

    Raises:
        JobError: no JSON, another version, or fields that are unknown, missing or wrong, by name.
    """
    try:
        content: Any = json.loads(text)
    except ValueError as error:
        raise JobError(f"{source} is no job: {error}. Expected the JSON that a launcher writes") from error
    version = content.get("version") if isinstance(content, dict) else None
    if version != VERSION:
        raise JobError(
            f"{source} is a job of version {version}; expected {VERSION}. Run the same release of darts-assets on the "
            "machine that starts jobs and on those that do them"
        )
    try:
        return _JOB.validate_python(content)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'kind'}: {one['msg']}" for one in error.errors())
        raise JobError(f"{source} is no job of version {VERSION}: {faults}") from error


def job_name(job: Job) -> str:
    """What a job goes by wherever it is queued: the same for the same store and versions of products."""
    made_of = job.model_dump(mode="json", include={"kind", "store", "tasks"})
    digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
    return f"darts-{job.kind.replace('_', '-')}-{digest[:20]}"


def joined(job: Job, others: Iterable[Job]) -> Job:
    """One job that does also what others ask for, those of them that take the same models and parameters."""
    alike = [other for other in others if other.model_copy(update={"tasks": job.tasks}) == job]
    return job.model_copy(update={"tasks": tuple(task for one in (job, *alike) for task in one.tasks)})


def predict_job(job: Job, place: Placement, watch: Watch) -> None:
    """Do, as one rank, what is its own of a job and not published yet."""
    from darts_core.inference.device import resolve_device
    from darts_core.inference.ranks import predict_ranks

    own = partial(segmentation.turns, job) if isinstance(job, SegmentJob) else partial(superresolution.turns, job)
    predict_ranks(place, resolve_device(job.device), own, watch)


def is_made(job: Job) -> bool:
    """Whether all that a job makes is published already."""
    return segmentation.is_made(job) if isinstance(job, SegmentJob) else superresolution.is_made(job)
