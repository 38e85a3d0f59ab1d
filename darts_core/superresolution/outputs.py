"""One scene to one raster on disk: straight, or by shards from which a killed run goes on."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path

from darts_core.grids import Grid
from darts_core.inference.geotiff import RasterStream, write_cog, write_geotiff
from darts_core.inference.shards import ShardSet
from darts_core.scenes.opening import filesystem
from darts_core.store import DamagedProduct, Store, identity
from darts_core.superresolution.inputs import SceneInput
from darts_core.superresolution.parameters import SuperResolveParameters
from darts_core.superresolution.patches import super_resolve_patches
from darts_core.superresolution.scenes import stitch, super_resolve
from darts_core.superresolution.upscaler import Upscaler
from darts_core.windows import Progress

_CODE_VERSION = "1"
"""Raised where the same inputs and parameters come to give other shards."""
_PATCHES = "sr_patches", "scene"


class Mode(StrEnum):
    """What happens to predicted windows."""

    DIRECT = "direct"
    """They are blended as they come."""
    SHARDS = "shards"
    """They are kept on disk first, so that a killed run goes on."""


class Format(StrEnum):
    """How the raster is written."""

    COG = "cog"
    """Compressed with zstd, with overviews."""
    GEOTIFF = "geotiff"
    """In tiles, uncompressed, without overviews."""


Report = Callable[[str, int, int], None]
"""Told what is done to windows, how many are done, and how many there are."""


@dataclass(frozen=True, slots=True)
class RasterJob:
    """What is to be made of one scene."""

    scene: SceneInput
    source: str
    """Identity of the scene's files and of what was chosen when it was opened: `fingerprint`."""
    upscaler: Upscaler
    parameters: SuperResolveParameters
    mode: Mode = Mode.DIRECT
    format: Format = Format.COG
    device: str = "cpu"
    first: int | None = None
    """Predict no more than this many windows; direct mode only."""
    keep_shards: bool = False
    shard_bytes: int | None = None
    """About how large a shard becomes; 256 MB by default."""

    @property
    def identity(self) -> str:
        """What names the shards: other inputs, models, parameters or grids never share one."""
        grid = Grid.of(self.scene.dataset)
        return identity(
            "super-resolve",
            code_version=_CODE_VERSION,
            inputs={"scene": self.source, "upscaler": f"{self.upscaler.digest} {self.upscaler.bands}"},
            parameters={
                "grid": (grid.crs.to_wkt(), tuple(grid.transform), grid.shape),
                "shard_bytes": self.shard_bytes,
                # a smaller batch, after the memory did not suffice, may go on
                **self.parameters.model_dump(mode="json", exclude={"batch_size"}),
            },
        )


def fingerprint(url: str, *choices: object) -> str:
    """Identity of an input file or folder by names, sizes and times of change, and of how it is opened.

    Args:
        choices: values whose `repr` says all of them.
    """
    fs, path = filesystem(url, None)
    files = sorted(fs.find(path, detail=True).items())
    facts = [(name, entry["size"], entry.get("mtime", entry.get("ETag"))) for name, entry in files]
    return hashlib.sha256(repr((facts, choices)).encode()).hexdigest()


def write_super_resolved(job: RasterJob, path: Path, report: Report) -> None:
    """Make the raster of a scene; `path` is replaced when the new one is whole.

    In shards mode windows are first kept in `shards_folder`, and removed with it when the raster is whole. The same job
    goes on there after a kill, and computes only what is missing.
    """
    dataset, progress = job.scene.dataset, partial(report, "predicted")
    if job.mode is Mode.DIRECT:
        stream = super_resolve(
            dataset, job.upscaler, job.parameters, device=job.device, first=job.first, progress=progress
        )
        _write(job, stream, path)
        return
    store = Store(str(shards_folder(path)))
    patches = _patches(job, store, progress)
    _write(job, stitch(patches, dataset, progress=partial(report, "stitched")), path)
    if not job.keep_shards:
        _remove(store, job.identity)


def shards_folder(path: Path) -> Path:
    """Where the windows of a raster are kept: `<path>.shards`."""
    return path.with_name(f"{path.name}.shards")


def _write(job: RasterJob, stream: RasterStream, path: Path) -> None:
    tags = {**job.scene.tags, **stream.tags}
    if job.first is not None:
        tags["partial_run"] = f"at most the first {job.first} windows with data were predicted, the rest is nodata"
    write = write_cog if job.format is Format.COG else write_geotiff
    write(replace(stream, tags=tags, band_tags=job.scene.band_tags), path)


def _patches(job: RasterJob, store: Store, progress: Progress) -> ShardSet:
    """The shards of a job: those that an earlier run left, and those that are missing."""
    made = store.committed(*_PATCHES, job.identity)
    # where someone took a file away, they are made again
    with suppress(DamagedProduct):
        if made is not None:
            made.check()
            return ShardSet.open(made.path())
    with store.draft(*_PATCHES, job.identity) as draft:
        super_resolve_patches(
            job.scene.dataset,
            job.upscaler,
            job.parameters,
            draft.folder,
            draft.publish,
            done=set(draft.published()),
            device=job.device,
            progress=progress,
            shard_bytes=job.shard_bytes,
        )
        return ShardSet.open(draft.commit().path())


def _remove(store: Store, version: str) -> None:
    """Remove the shards of this version, and the folders around them unless other versions are there."""
    patches = Path(store.path(*_PATCHES))
    shutil.rmtree(patches / version)
    if not any(patches.glob("*/")):
        shutil.rmtree(patches)
    root = Path(store.base)
    for folder in (*sorted(root.rglob("*/"), reverse=True), root):
        with suppress(OSError):
            folder.rmdir()
