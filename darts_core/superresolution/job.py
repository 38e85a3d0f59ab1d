"""A super-resolution job: what is predicted by ranks in processes of their own, and what one of them does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from darts_core.inference.job import Frozen, JobError, ProductVersion, RankJob, StoreAddress, find_model
from darts_core.store import Draft
from darts_core.superresolution.parameters import SuperResolveParameters

if TYPE_CHECKING:
    import torch

    from darts_core.inference.ranks import Portion, Turn
    from darts_core.superresolution.patches import PatchWork
    from darts_core.superresolution.upscaler import Upscaler


class PatchTask(Frozen):
    """One scene."""

    scene: ProductVersion
    """A committed version of `preprocessed`."""
    patches: ProductVersion
    """The version of the patches that is to be filled; who started the job commits it."""


class SuperResolveJob(RankJob):
    """Scenes to be super-resolved into shards with one model; the ranks share the shards of each scene."""

    kind: Literal["super_resolve"] = "super_resolve"
    tasks: tuple[PatchTask, ...] = Field(min_length=1)
    upscaler: str = Field(min_length=1, description="What `load_upscaler` takes")
    digest: str | None = Field(default=None, description="SHA-256 of the model file, by which the store is searched")
    parameters: SuperResolveParameters
    shard_bytes: int | None = Field(
        default=None, ge=1, description="About how large a shard becomes; 256 MB by default"
    )

    @property
    def products(self) -> tuple[ProductVersion, ...]:
        """The versions that it fills."""
        return tuple(task.patches for task in self.tasks)


def patch_job(
    draft: Draft,
    scene: ProductVersion,
    upscaler: str,
    parameters: SuperResolveParameters,
    *,
    device: str,
    ranks: int,
    digest: str | None = None,
) -> SuperResolveJob:
    """The job that fills one draft with the patches of one scene; `digest` is that of the upscaler's file."""
    return SuperResolveJob(
        store=StoreAddress.of(draft.store),
        tasks=(PatchTask(scene=scene, patches=ProductVersion.of(draft)),),
        upscaler=upscaler,
        digest=digest,
        parameters=SuperResolveParameters(**parameters.model_dump()),
        device=device,
        ranks=ranks,
    )


def turns(job: SuperResolveJob, device: torch.device, rank: int) -> list[Turn]:
    """What a rank predicts of each scene: the shards that it owns and that are not published yet.

    The first rank also writes the index of the shards. What is committed already, as when a job starts again whose
    run has gone on, is no rank's.
    """
    from darts_core.inference.ranks import Turn
    from darts_core.superresolution.upscalers import load_upscaler

    store = job.store.open()
    source: str | Path = job.upscaler
    if job.digest is not None and Path(job.upscaler).is_absolute():
        source = find_model(store, "super_resolution_model", job.upscaler, job.digest)
    upscaler = load_upscaler(source, device=str(device))
    return [
        Turn(task.patches.partition, task.patches.partition, partial(_opened, job, task, upscaler, device, rank))
        for task in job.tasks
        if not task.patches.stands(store)
    ]


@contextmanager
def _opened(
    job: SuperResolveJob, task: PatchTask, upscaler: Upscaler, device: torch.device, rank: int
) -> Iterator[Portion]:
    from darts_core.datasets import open_product
    from darts_core.inference.ranks import NOTHING
    from darts_core.superresolution.patches import is_needed, plan_patches, super_resolve_patches

    store = job.store.open()
    scene = open_product(task.scene.committed(store), task.scene.asset)
    with store.draft(**task.patches.model_dump()) as draft:
        if is_needed(scene, job.parameters):
            work = plan_patches(scene, upscaler, job.parameters, job.shard_bytes)
            yield _portion(work, draft, device, rank, job.ranks)
            return
        if rank == 0:
            super_resolve_patches(scene, upscaler, job.parameters, draft.folder, draft.publish)
        yield NOTHING


def _portion(work: PatchWork, draft: Draft, device: torch.device, rank: int, ranks: int) -> Portion:
    from darts_core.inference.ranks import Portion, share
    from darts_core.inference.shards import within, write_index
    from darts_core.superresolution.patches import write_patches

    wanted, published = work.written_to(draft.folder), draft.published()
    mine = share(work.shards, work.occupied, rank, ranks)
    if rank == 0:
        write_index(wanted, draft.publish)
    windows = {one.name: len(within(one, work.occupied)) for one in mine}
    before = sum(count for name, count in windows.items() if name in published)
    step = partial(write_patches, work, wanted, mine, draft.publish, done=published, device=str(device))
    return Portion(sum(windows.values()), before, step)


def is_made(job: SuperResolveJob) -> bool:
    """Whether every shard of every scene is published, by an earlier job of which nobody heard the end."""
    store = job.store.open()
    for task in job.tasks:
        with store.draft(**task.patches.model_dump()) as draft:
            if _missing(draft):
                return False
    return True


def require_whole(draft: Draft) -> None:
    """Make sure that every shard of the index is published, before the version is committed.

    Raises:
        JobError: naming what is missing.
    """
    missing = _missing(draft)
    if missing:
        raise JobError(
            f"{draft.asset} of {draft.partition}: the ranks ended without {', '.join(missing)}; run it again"
        )


def _missing(draft: Draft) -> list[str]:
    """Parts that are not published; the index alone where not even that is."""
    from darts_core.inference.shards import INDEX, ShardSet

    published = draft.published()
    if INDEX not in published:
        return [INDEX]
    folder = draft.store.path(draft.asset, draft.partition, draft.version)
    index = ShardSet.open(folder if draft.store.local else draft.store.fs.get_mapper(folder))
    return [one.name for one in index.shards if one.name not in published]
