"""A segmentation job: rasters of scenes by models, made by ranks in processes of their own, and what one of them does.

A raster is one model's view of one scene, and is made by one rank: it streams from the model into the file, so that
nothing is kept but what is finished. Ranks share the rasters, neighbours by model, so that most load one model only;
each makes its own in the order of the scenes, and those of a model in turn with others that have it, so that the
scenes that come first are finished first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from darts_core.inference.job import Frozen, JobError, ProductVersion, RankJob, StoreAddress, find_model
from darts_core.segmentation.parameters import SegmentParameters
from darts_core.store import Draft, Store

if TYPE_CHECKING:
    import torch
    import xarray as xr

    from darts_core.inference.feed import Observe
    from darts_core.inference.geotiff import RasterStream
    from darts_core.inference.ranks import Portion, Turn
    from darts_core.segmentation.segmenter import Segmenter
    from darts_core.windows import Progress

SUFFIX = ".tif"


class SegmentModel(Frozen):
    """A checkpoint."""

    name: str
    path: str
    digest: str
    """See `checkpoint_digest`."""


class SegmentTask(Frozen):
    """One scene."""

    preprocessed: ProductVersion
    super_resolved: ProductVersion
    """A committed version of `sr_geotiff`."""
    probabilities: ProductVersion
    """The version that is to be filled; who started the job commits it."""
    models: tuple[str, ...] = Field(min_length=1, description="Names of the models whose rasters it lacks")


class SegmentJob(RankJob):
    """Scenes to be segmented by one or more models."""

    kind: Literal["segment"] = "segment"
    tasks: tuple[SegmentTask, ...] = Field(min_length=1)
    models: tuple[SegmentModel, ...] = Field(min_length=1)
    parameters: SegmentParameters

    @property
    def products(self) -> tuple[ProductVersion, ...]:
        """The versions that it fills."""
        return tuple(task.probabilities for task in self.tasks)

    def rasters(self, rank: int = 0, ranks: int = 1) -> list[tuple[SegmentModel, SegmentTask]]:
        """Those of all rasters that are one rank's, scene by scene: as many as every other rank's or one more."""
        pairs = [(model, task) for model in self.models for task in self.tasks if model.name in task.models]
        owners = [((number + 1) * ranks - 1) // len(pairs) for number in range(len(pairs))]
        own = []
        for _, numbers in groupby(range(len(pairs)), key=lambda number: pairs[number][0].name):
            of_model = list(numbers)
            # ranks that share a model take its scenes in turn
            places = sorted(_spread([owners[number] for number in of_model]))
            own += [pairs[number] for number, (_, owner) in zip(of_model, places, strict=True) if owner == rank]
        return sorted(own, key=lambda pair: self.tasks.index(pair[1]))


def _spread(owners: Sequence[int]) -> Iterator[tuple[float, int]]:
    """Each owner as often as it is there, with places between 0 and 1, as far apart as can be."""
    for owner, count in Counter(owners).items():
        yield from (((number + 0.5) / count, owner) for number in range(count))


def segment_job(
    draft: Draft,
    preprocessed: ProductVersion,
    super_resolved: ProductVersion,
    models: Iterable[SegmentModel],
    parameters: SegmentParameters,
    *,
    device: str,
    ranks: int,
    lacking: Sequence[str] | None = None,
) -> SegmentJob:
    """The job that fills one draft with the rasters of one scene: of all models, or of those that are `lacking`."""
    wanted = tuple(models)
    task = SegmentTask(
        preprocessed=preprocessed,
        super_resolved=super_resolved,
        probabilities=ProductVersion.of(draft),
        models=tuple(model.name for model in wanted) if lacking is None else tuple(lacking),
    )
    known = {name: getattr(parameters, name) for name in SegmentParameters.model_fields}
    return SegmentJob(
        store=StoreAddress.of(draft.store),
        tasks=(task,),
        models=wanted,
        parameters=SegmentParameters(**known),
        device=device,
        ranks=ranks,
    )


def turns(job: SegmentJob, device: torch.device, rank: int) -> list[Turn]:
    """Those rasters that are a rank's own and are not made yet."""
    from darts_core.inference.ranks import Turn

    store = job.store.open()
    segmenters: dict[str, Segmenter] = {}
    made = []
    for model, task in job.rasters(rank, job.ranks):
        if _is_made(store, task, model.name):
            continue
        if model.name not in segmenters:
            segmenters[model.name] = _load(store, model, device)
        opened = partial(_opened, job, task, segmenters[model.name])
        made.append(Turn(task.probabilities.partition, f"{task.probabilities.partition} by {model.name}", opened))
    return made


def _is_made(store: Store, task: SegmentTask, model: str) -> bool:
    """Whether a raster is published, or committed, as when a job starts again whose run has gone on."""
    with store.draft(**task.probabilities.model_dump()) as draft:
        return not missing_rasters(draft, [model]) or task.probabilities.stands(store)


def _load(store: Store, model: SegmentModel, device: torch.device) -> Segmenter:
    from darts_core.segmentation.segmenter import Segmenter

    path = find_model(store, "segmentation_model", model.path, model.digest)
    segmenter = Segmenter.load(path, device=str(device), name=model.name)
    _require_same(segmenter.digest, model, path)
    return segmenter


@contextmanager
def _opened(job: SegmentJob, task: SegmentTask, segmenter: Segmenter) -> Iterator[Portion]:
    from darts_core.inference.ranks import Portion

    store = job.store.open()
    stream = segmenter.stream(*_open(store, task), job.parameters)
    with store.draft(**task.probabilities.model_dump()) as draft:
        yield Portion(_tiles(stream), 0, partial(_write, stream, draft, raster_name(segmenter.name)))


def _open(store: Store, task: SegmentTask) -> tuple[xr.Dataset, xr.Dataset]:
    from darts_core.datasets import open_product
    from darts_core.inference.geotiff import read_cog
    from darts_core.remote import gdal_options, gdal_path

    finer = task.super_resolved.committed(store)
    (raster,) = (name for name in finer.manifest.objects if name.endswith(SUFFIX))
    return (
        open_product(task.preprocessed.committed(store), task.preprocessed.asset),
        read_cog(gdal_path(finer.url(raster)), "super_resolved", options=gdal_options(finer.url(), store.options)),
    )


def _require_same(digest: str, model: SegmentModel, path: Path) -> None:
    if digest != model.digest:
        raise JobError(
            f"{path} has the digest {digest[:12]}…; the job is for the model {model.name} with {model.digest[:12]}…. "
            "Lay the same checkpoint on every machine"
        )


def _tiles(stream: RasterStream) -> int:
    from darts_core.inference.blocks import TILE

    height, width = stream.grid.shape
    return -(-height // TILE) * -(-width // TILE)


def _write(stream: RasterStream, draft: Draft, file: str, *, progress: Progress, observe: Observe) -> None:
    from darts_core.inference.geotiff import write_cog

    write_cog(stream, draft.folder / file, progress=progress)
    draft.publish(file)


def raster_name(model: str) -> str:
    """The object in which a model's probabilities lie."""
    return f"{model}{SUFFIX}"


def missing_rasters(draft: Draft, models: Sequence[str]) -> list[str]:
    """Those of the models whose raster is not published in a draft."""
    published = draft.published()
    return [model for model in models if raster_name(model) not in published]


def require_rasters(draft: Draft, models: Sequence[str]) -> None:
    """Make sure that every model's raster is published, before the version is committed.

    Raises:
        JobError: naming what is missing.
    """
    missing = missing_rasters(draft, models)
    if missing:
        raise JobError(
            f"{draft.asset} of {draft.partition}: the ranks ended without the rasters of {', '.join(missing)}; run it "
            "again"
        )


def is_made(job: SegmentJob) -> bool:
    """Whether every raster is published, by an earlier job of which nobody heard the end."""
    store = job.store.open()
    for task in job.tasks:
        with store.draft(**task.probabilities.model_dump()) as draft:
            if missing_rasters(draft, task.models):
                return False
    return True
