"""A super-resolution job: what is predicted by ranks in processes of their own, and what one of them does."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from darts_core.errors import DartsError
from darts_core.store import Draft, MissingProduct, Store
from darts_core.superresolution.parameters import SuperResolveParameters

if TYPE_CHECKING:
    import torch
    import xarray as xr

    from darts_core.inference.ranks import Placement, Portion, Watch
    from darts_core.superresolution.patches import PatchWork


class JobError(DartsError):
    """A job that cannot start, or did not do what it was to do."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StoreAddress(_Frozen):
    """Where products lie. Credentials are no part of it: each process has them from its environment."""

    root: str
    endpoint_url: str | None = None

    @classmethod
    def of(cls, store: Store) -> StoreAddress:
        """The address of a store.

        Raises:
            ValidationError: the store has an option that does not belong into a file.
        """
        return cls(root=store.root, **store.options)

    def open(self) -> Store:
        """The store that lies there."""
        return Store(self.root, {"endpoint_url": self.endpoint_url} if self.endpoint_url else {})


class ProductVersion(_Frozen):
    """One version of one product."""

    asset: str
    partition: str
    version: str


class PatchTask(_Frozen):
    """One scene."""

    scene: ProductVersion
    """A committed version of `preprocessed`."""
    patches: ProductVersion
    """The version of the patches that is to be filled; who started the job commits it."""


class SuperResolveJob(_Frozen):
    """Scenes to be super-resolved into shards with one model, by one or more ranks."""

    version: Literal[1] = 1
    store: StoreAddress
    tasks: tuple[PatchTask, ...] = Field(min_length=1)
    upscaler: str = Field(min_length=1, description="What `load_upscaler` takes")
    parameters: SuperResolveParameters
    device: str = Field(default="cpu", description="cpu, cuda, cuda:1, mps, or auto")
    ranks: int = Field(default=1, ge=1, description="Processes that share the shards of each scene")
    shard_bytes: int | None = Field(
        default=None, ge=1, description="About how large a shard becomes; 256 MB by default"
    )


def patch_job(
    draft: Draft,
    scene: ProductVersion,
    upscaler: str,
    parameters: SuperResolveParameters,
    *,
    device: str,
    ranks: int,
) -> SuperResolveJob:
    """The job that fills one draft with the patches of one scene."""
    return SuperResolveJob(
        store=StoreAddress.of(draft.store),
        tasks=(
            PatchTask(
                scene=scene,
                patches=ProductVersion(asset=draft.asset, partition=draft.partition, version=draft.version),
            ),
        ),
        upscaler=upscaler,
        parameters=SuperResolveParameters(**parameters.model_dump()),
        device=device,
        ranks=ranks,
    )


def predict_job(job: SuperResolveJob, place: Placement, watch: Watch) -> None:
    """Predict, as one rank, those shards of every scene that it owns and that are not published yet."""
    from darts_core.inference.device import resolve_device
    from darts_core.inference.ranks import predict_ranks

    with ExitStack() as drafts:

        def prepare(device: torch.device, rank: int) -> list[Portion]:
            return _portions(job, drafts, device, rank, watch)

        predict_ranks(place, resolve_device(job.device), prepare, watch)


def _portions(job: SuperResolveJob, drafts: ExitStack, device: torch.device, rank: int, watch: Watch) -> list[Portion]:
    """What a rank predicts of each scene; the first rank also writes the index of the shards."""
    from darts_core.superresolution.patches import is_needed, plan_patches, super_resolve_patches
    from darts_core.superresolution.upscalers import load_upscaler

    store, upscaler = job.store.open(), load_upscaler(job.upscaler, device=str(device))
    portions, total = [], 0
    for task in job.tasks:
        scene = _open(store, task.scene)
        draft = drafts.enter_context(store.draft(**task.patches.model_dump()))
        if is_needed(scene, job.parameters):
            work = plan_patches(scene, upscaler, job.parameters, job.shard_bytes)
            portions.append(_portion(work, draft, device, rank, job.ranks))
            total += len(work.occupied)
        elif rank == 0:
            super_resolve_patches(scene, upscaler, job.parameters, draft.folder, draft.publish)
    watch.planned(str(device), total)
    return portions


def _open(store: Store, scene: ProductVersion) -> xr.Dataset:
    from darts_core.datasets import open_product

    version = store.committed(**scene.model_dump())
    if version is None:
        raise MissingProduct(
            f"{scene.asset} of {scene.partition} has no version {scene.version} in {store.root}; materialize it again"
        )
    version.check()
    return open_product(version, scene.asset)


def _portion(work: PatchWork, draft: Draft, device: torch.device, rank: int, ranks: int) -> Portion:
    from darts_core.inference.ranks import Portion, share
    from darts_core.inference.shards import within, write_index
    from darts_core.superresolution.patches import write_patches

    wanted, published = work.written_to(draft.folder), draft.published()
    mine = share(work.shards, work.occupied, rank, ranks)
    if rank == 0:
        write_index(wanted, draft.publish)
    before = sum(len(within(one, work.occupied)) for one in mine if one.name in published)
    step = partial(write_patches, work, wanted, mine, draft.publish, done=published, device=str(device))
    return Portion(draft.partition, before, step)


def require_whole(draft: Draft) -> None:
    """Make sure that every shard of the index is published, before the version is committed.

    Raises:
        JobError: naming what is missing.
    """
    from darts_core.inference.shards import INDEX, ShardSet

    published = draft.published()
    folder = draft.store.path(draft.asset, draft.partition, draft.version)
    index = ShardSet.open(folder if draft.store.local else draft.store.fs.get_mapper(folder))
    missing = [one.name for one in index.shards if one.name not in published]
    if missing or INDEX not in published:
        raise JobError(
            f"{draft.asset} of {draft.partition}: the ranks ended without {', '.join(missing) or INDEX}; run it again"
        )
