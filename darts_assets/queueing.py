"""Batches for the daemon to launch: runs that wait in the queue of the instance."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import dagster as dg
from dagster import DagsterInstance
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.run_coordinator import QueuedRunCoordinator, SubmitRunContext
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from darts_assets.batches import batch_tags
from darts_core.errors import DartsError

MODULE = "darts_assets.definitions"
LOCATION = "darts_assets"
"""By this name the daemon finds the code; that of the workspace."""
JOB = "process_scene"


class QueueError(DartsError):
    """An instance that has no queue."""


def queue(
    instance: DagsterInstance, batches: Sequence[Sequence[str]], select: list[str] | None, **tags: str
) -> list[str]:
    """Let the daemon process each batch of scenes in one run, whether or not they follow each other.

    Args:
        select: assets to make; all of a scene where None.
        tags: of every run, besides those that say its scenes.

    Returns:
        The ids of the runs.

    Raises:
        QueueError: the instance launches runs at once, which takes more than this process has.
    """
    if not isinstance(instance.run_coordinator, QueuedRunCoordinator):
        raise QueueError(
            "The dagster.yaml of this home has no run queue: expected 'concurrency: runs:' in it, as in the one that "
            "comes with darts-assets. Add that, or process the scenes with --here"
        )
    from darts_assets.definitions import defs

    job = defs.resolve_job_def(JOB)
    assets = {dg.AssetKey(name) for name in select} if select else None
    ids = []
    for keys in batches:
        run = instance.create_run_for_job(
            job,
            tags=batch_tags(keys) | tags,
            asset_selection=assets,
            remote_job_origin=_remote_origin(),
            job_code_origin=_code_origin(),
        )
        # queueing writes an event and asks nothing of the workspace, which is the daemon's
        instance.run_coordinator.submit_run(SubmitRunContext(run, workspace=cast("Any", None)))
        ids.append(run.run_id)
    return ids


def _remote_origin() -> RemoteJobOrigin:
    """What the UI and the daemon find the job by."""
    target = LoadableTargetOrigin(module_name=MODULE, executable_path=sys.executable)
    location = ManagedGrpcPythonEnvCodeLocationOrigin(target, LOCATION)
    return RemoteJobOrigin(RemoteRepositoryOrigin(location, SINGLETON_REPOSITORY_NAME), JOB)


def _code_origin() -> JobPythonOrigin:
    """What a process that runs it imports."""
    pointer = ModuleCodePointer(MODULE, "defs", working_directory=str(Path(__file__).parents[1]))
    return JobPythonOrigin(JOB, RepositoryPythonOrigin(sys.executable, pointer))
