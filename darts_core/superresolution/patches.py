"""The windows of one scene: which there are, what predicts them, and the shards that they are kept in."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import xarray as xr

from darts_core.grids import Grid
from darts_core.inference.codes import encoder
from darts_core.inference.device import resolve_device
from darts_core.inference.feed import Observe
from darts_core.inference.geotiff import contract_rows
from darts_core.inference.predict import Encode, predict
from darts_core.inference.shards import INDEX, Publish, ShardSet, ShardWriter, plan_shards, within, write_index
from darts_core.inference.source import DatasetSource, FilledSource, WindowSource, occupied
from darts_core.superresolution.parameters import SuperResolveParameters
from darts_core.superresolution.reach import expected_seam
from darts_core.superresolution.running import forward_on
from darts_core.superresolution.upscaler import Upscaler, require_fit
from darts_core.windows import Plan, PlanError, Progress, Shard, plan

PRODUCT = "super_resolved"

FAR = 16
"""Pixels over which nodata is filled for a model without a measured reach."""


def is_needed(preprocessed: xr.Dataset, parameters: SuperResolveParameters) -> bool:
    """Whether the scene's pixels are coarser than the target resolution.

    Raises:
        GridError: no CRS, or one whose pixels have no size in metres.
    """
    wanted = parameters.target_resolution
    return wanted is None or max(Grid.of(preprocessed).metres()) > wanted * (1 + parameters.tolerance)


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
