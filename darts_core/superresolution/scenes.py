"""Super-resolution of whole scenes: directly, or by patch shards that are stitched."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from affine import Affine

from darts_core.contracts import ContractError
from darts_core.grids import Grid
from darts_core.inference.blocks import Block
from darts_core.inference.codes import encoder
from darts_core.inference.device import resolve_device
from darts_core.inference.feed import Observe
from darts_core.inference.geotiff import RasterStream, blocks_of, contract_rows
from darts_core.inference.mosaic import mosaic, visiting_order
from darts_core.inference.predict import Encode, predict
from darts_core.inference.shards import (
    INDEX,
    Publish,
    ShardSet,
    ShardWriter,
    plan_shards,
    within,
    write_index,
)
from darts_core.inference.source import VALID, DatasetSource, FilledSource, WindowSource, occupied
from darts_core.superresolution.parameters import SuperResolveParameters
from darts_core.superresolution.reach import expected_seam
from darts_core.superresolution.upscalers import Upscaler, forward_on, require_fit
from darts_core.windows import Plan, PlanError, Progress, Shard, Window, plan

Valid = Callable[[Window], np.ndarray]

FAR = 16
"""Pixels over which nodata is filled for a model without a measured reach."""

PRODUCT = "super_resolved"


def is_needed(preprocessed: xr.Dataset, parameters: SuperResolveParameters) -> bool:
    """Whether the scene's pixels are coarser than the target resolution.

    Raises:
        GridError: no CRS, or one whose pixels have no size in metres.
    """
    wanted = parameters.target_resolution
    return wanted is None or max(Grid.of(preprocessed).metres()) > wanted * (1 + parameters.tolerance)


def super_resolve(
    preprocessed: xr.Dataset,
    upscaler: Upscaler,
    parameters: SuperResolveParameters,
    *,
    device: str = "cpu",
    first: int | None = None,
    progress: Progress | None = None,
    observe: Observe | None = None,
) -> RasterStream:
    """The reflectance bands of a scene at the model's resolution, predicted while they are written.

    Args:
        preprocessed: memory form of the preprocessed contract, lazy or not.
        device: torch's name of the device that predicts.
        first: predict no more than this many windows; what they do not cover is nodata.
        progress: told the windows done and in all.
        observe: told at the end how the reading ahead fared.

    Returns:
        A stream of the product `super_resolved`: uint16 codes, nodata where the scene is not valid. A scene that is
        fine enough already passes unchanged.
    """
    if not is_needed(preprocessed, parameters):
        return _unchanged(preprocessed, upscaler.bands_out)
    work = plan_patches(preprocessed, upscaler, parameters)
    chosen = work.occupied[:first]

    def windows() -> Iterator[tuple[int, torch.Tensor]]:
        order = visiting_order(work.plan, len(work.bands), chosen)
        return work.predict(order, device, progress, observe)

    return _stream(preprocessed, work.bands, work.plan, upscaler.name, windows, work.source.valid)


@dataclass(frozen=True, slots=True)
class PatchWork:
    """What it takes to predict the windows of one scene: known before the first one, the same on every rank."""

    source: WindowSource
    plan: Plan
    upscaler: Upscaler
    parameters: SuperResolveParameters
    occupied: list[int]
    """Numbers of the windows with a valid pixel, ascending."""
    shards: tuple[Shard, ...]

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the predicted bands."""
        return self.upscaler.bands_out

    def written_to(self, staging: Path) -> ShardSet:
        """The shards as they will lie under `staging`."""
        return ShardSet(staging, self.plan, PRODUCT, self.bands, self.shards, self.upscaler.name)

    def predict(
        self,
        windows: Sequence[int],
        device: str,
        progress: Progress | None = None,
        observe: Observe | None = None,
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Numbers and codes (bands, height, width) of windows, in this order; the tensors lie on `device`."""
        return predict(
            forward_on(self.upscaler, resolve_device(device)),
            self.source,
            self.plan,
            windows=windows,
            batch_size=self.batch_size,
            device=device,
            seed=self.seed,
            encode=self.encode,
            progress=progress,
            observe=observe,
        )

    @property
    def batch_size(self) -> int:
        """Windows that go through the model at once on an accelerator."""
        return self.parameters.batch_size or self.upscaler.batch

    @property
    def seed(self) -> int | None:
        """The seed of a stochastic model; None for one that is not."""
        return self.parameters.seed if self.upscaler.stochastic else None

    @property
    def encode(self) -> Encode:
        """Reflectance as codes of the product, where the model left it."""
        return encoder(contract_rows(PRODUCT, self.bands)[0])


def plan_patches(
    preprocessed: xr.Dataset,
    upscaler: Upscaler,
    parameters: SuperResolveParameters,
    shard_bytes: int | None = None,
) -> PatchWork:
    """Lay the windows of a scene that needs super-resolution, and find those with a valid pixel.

    Raises:
        ContractError: the scene lacks a band of the model.
        PlanError: window, overlap and border do not cover the scene.
    """
    source = DatasetSource(preprocessed, upscaler.bands)
    tiling = plan_windows(preprocessed, upscaler, parameters)
    shards = plan_shards(tiling, PRODUCT, upscaler.bands_out, shard_bytes)
    filled = FilledSource(source, FAR if upscaler.reach is None else upscaler.reach)
    return PatchWork(filled, tiling, upscaler, parameters, occupied(source, tiling), shards)


def super_resolve_patches(
    preprocessed: xr.Dataset,
    upscaler: Upscaler,
    parameters: SuperResolveParameters,
    staging: Path,
    publish: Publish,
    *,
    done: Collection[str] = (),
    device: str = "cpu",
    progress: Progress | None = None,
    observe: Observe | None = None,
    shard_bytes: int | None = None,
) -> ShardSet:
    """Predict the windows of a scene into patch shards; `stitch` makes the raster of them.

    Args:
        staging: existing folder in which a shard is written before it is published.
        publish: called with the name of each finished shard, and last with `index.json`.
        done: names published before, which are not computed again.
        progress: told the windows done and in all, those done before included.
        observe: told at the end how the reading ahead fared.
        shard_bytes: about how large a shard becomes; 256 MB by default.
    """
    if is_needed(preprocessed, parameters):
        work = plan_patches(preprocessed, upscaler, parameters, shard_bytes)
        wanted = work.written_to(staging)
        write_patches(work, wanted, work.shards, publish, done=done, device=device, progress=progress, observe=observe)
    else:
        grid = Grid.of(preprocessed)
        whole = plan(*grid.shape, window=grid.shape, overlap=0)
        wanted = ShardSet(staging, whole, PRODUCT, upscaler.bands_out, (), upscaler.name)
    if INDEX not in done:
        write_index(wanted, publish)
    return wanted


def write_patches(
    work: PatchWork,
    wanted: ShardSet,
    shards: Sequence[Shard],
    publish: Publish,
    *,
    done: Collection[str] = (),
    device: str = "cpu",
    progress: Progress | None = None,
    observe: Observe | None = None,
) -> None:
    """Predict those of the shards that are not done; each is published when it is whole."""
    writer = ShardWriter(wanted, [shard for shard in shards if shard.name not in done], work.occupied, publish)
    numbers = writer.numbers
    total = sum(len(within(shard, work.occupied)) for shard in shards)
    before = total - len(numbers)
    report = None if progress is None else lambda count, _: progress(before + count, total)
    for number, codes in work.predict(numbers, device, report, observe):
        writer.add(number, codes.cpu().numpy())


def stitch(patches: ShardSet, preprocessed: xr.Dataset, *, progress: Progress | None = None) -> RasterStream:
    """The raster that patch shards hold, blended while it is written; equal to that of `super_resolve`.

    Args:
        preprocessed: the scene that the patches were made from; gives the grid and the validity mask.
        progress: told the windows done and in all.

    Raises:
        ContractError: the patches are of another scene.
    """
    grid = Grid.of(preprocessed)
    tiling = patches.plan
    if (tiling.height, tiling.width) != grid.shape:
        raise ContractError(
            f"The patches are of a scene of {tiling.height} x {tiling.width} pixels, the preprocessed scene "
            f"has {grid.height} x {grid.width}; materialize the patches again"
        )
    if not patches.shards:
        return _unchanged(preprocessed, patches.bands)

    def windows() -> Iterator[tuple[int, torch.Tensor]]:
        order = visiting_order(tiling, len(patches.bands), patches.numbers())
        for done, (number, codes) in enumerate(patches.windows(order), start=1):
            yield number, torch.from_numpy(codes)
            if progress is not None:
                progress(done, len(order))

    valid = DatasetSource(preprocessed, () if VALID in preprocessed else patches.bands).valid
    return _stream(preprocessed, patches.bands, tiling, patches.model, windows, valid)


def plan_windows(preprocessed: xr.Dataset, upscaler: Upscaler, parameters: SuperResolveParameters) -> Plan:
    """The windows of a scene, checked before any work.

    Raises:
        PlanError: window, overlap and border do not cover the scene.
    """
    border = upscaler.reach if parameters.border is None else parameters.border
    if border is None:
        raise PlanError(
            f"{upscaler.name} looks further than a window reaches, so no border avoids seams: choose one. With a "
            f"border of {parameters.window // 8} pixels a seam of about "
            f"{expected_seam(upscaler, parameters.window // 8):.1f} digital numbers is to be expected"
        )
    tiling = plan(
        preprocessed.sizes["y"],
        preprocessed.sizes["x"],
        window=(parameters.window, parameters.window),
        overlap=2 * border + 4 if parameters.overlap is None else parameters.overlap,
        border=border,
        ramp=parameters.ramp,
        factor=upscaler.factor,
    )
    require_fit(upscaler, Grid.of(preprocessed), tiling.window)
    if upscaler.reach is None or border < upscaler.reach:
        seam = expected_seam(upscaler, border, tiling.overlap, tiling.ramp)
        warnings.warn(
            f"Border {border} is less than the reach of {upscaler.name}: where windows join, a seam of about "
            f"{seam:.1f} digital numbers is to be expected. Leave the border out to avoid it",
            stacklevel=2,
        )
    return tiling


def _stream(
    preprocessed: xr.Dataset,
    bands: tuple[str, ...],
    tiling: Plan,
    model: str,
    windows: Callable[[], Iterable[tuple[int, torch.Tensor]]],
    valid: Valid,
) -> RasterStream:
    """Codes of windows, blended: the same whether they come from the model or from shards."""
    row = contract_rows(PRODUCT, bands)[0]

    def blocks() -> Iterator[Block]:
        return mosaic(windows(), tiling, len(bands), nodata=row.nodata, valid=valid, dtype=row.disk)

    f = tiling.factor
    return RasterStream(
        PRODUCT,
        bands,
        finer(Grid.of(preprocessed), f),
        blocks,
        {name: f"{_source_of(preprocessed, name)}, super-resolved x{f} by {model}" for name in bands},
        {"upscaler": model, "factor": str(f)},
    )


def finer(grid: Grid, factor: int) -> Grid:
    """The same place in pixels a `factor` smaller."""
    return Grid(grid.crs, grid.transform @ Affine.scale(1 / factor), grid.height * factor, grid.width * factor)


def _unchanged(preprocessed: xr.Dataset, bands: tuple[str, ...]) -> RasterStream:
    """The scene's own bands, nodata where it is not valid."""
    source = DatasetSource(preprocessed, bands)
    kept = source.dataset[list(bands)]
    if VALID in preprocessed:
        kept = kept.where(preprocessed[VALID])
    return blocks_of(kept, PRODUCT, tags={"upscaler": "none", "factor": "1"})


def _source_of(dataset: xr.Dataset, name: str) -> str:
    return str(dataset[name].attrs.get("data_source", "unknown"))
