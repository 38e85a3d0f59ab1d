"""Super-resolution of whole scenes: directly, or by patch shards that are stitched."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from affine import Affine

from darts_core.contracts import ContractError
from darts_core.grids import Grid
from darts_core.inference.device import resolve_device
from darts_core.inference.geotiff import RasterStream, blocks_of, contract_rows
from darts_core.inference.mosaic import RowBlock, mosaic
from darts_core.inference.predict import predict
from darts_core.inference.shards import Publish, ShardSet, plan_shards, write_shards
from darts_core.inference.source import VALID, DatasetSource, FilledSource, occupied
from darts_core.superresolution.parameters import SuperResolveParameters
from darts_core.superresolution.upscalers import Upscaler
from darts_core.windows import Plan, Progress, plan

PRODUCT = "super_resolved"


def is_needed(preprocessed: xr.Dataset, parameters: SuperResolveParameters) -> bool:
    """Whether the scene's pixels are coarser than the target resolution.

    Raises:
        GridError: no CRS, or one whose pixels have no size in metres.
    """
    return max(Grid.of(preprocessed).metres()) > parameters.target_resolution * (1 + parameters.tolerance)


def super_resolve(
    preprocessed: xr.Dataset,
    upscaler: Upscaler,
    parameters: SuperResolveParameters,
    *,
    device: str = "cpu",
    progress: Progress | None = None,
) -> RasterStream:
    """The reflectance bands of a scene at the model's resolution, predicted while they are written.

    Args:
        preprocessed: memory form of the preprocessed contract, lazy or not.
        device: torch's name of the device that predicts.
        progress: told the windows done and in all.

    Returns:
        A stream of the product `super_resolved`: uint16 codes, nodata where the scene is not valid. A scene that is
        fine enough already passes unchanged.
    """
    if not is_needed(preprocessed, parameters):
        return _unchanged(preprocessed, upscaler.bands)
    tiling = plan_windows(preprocessed, upscaler, parameters)
    encode = contract_rows(PRODUCT, upscaler.bands)[0].encode

    def windows() -> Iterator[tuple[int, np.ndarray]]:
        source = DatasetSource(preprocessed, upscaler.bands)
        predicted = _predict(source, upscaler, tiling, parameters, device, occupied(source, tiling), progress)
        return ((number, encode(values)) for number, values in predicted)

    return _stream(preprocessed, upscaler.bands, tiling, upscaler.name, windows)


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
    shard_bytes: int | None = None,
) -> ShardSet:
    """Predict the windows of a scene into patch shards; `stitch` makes the raster of them.

    Args:
        staging: existing folder in which a shard is written before it is published.
        publish: called with the name of each finished shard, and last with `index.json`.
        done: names published before, which are not computed again.
        progress: told the windows done and in all, those done before included.
        shard_bytes: about how large a shard becomes; 256 MB by default.
    """
    grid = Grid.of(preprocessed)
    if not is_needed(preprocessed, parameters):
        whole = plan(*grid.shape, window=grid.shape, overlap=0)
        unchanged = ShardSet(staging, whole, PRODUCT, upscaler.bands, (), upscaler.name)
        return write_shards(unchanged, lambda _: iter(()), [], publish, done)
    source = DatasetSource(preprocessed, upscaler.bands)
    tiling = plan_windows(preprocessed, upscaler, parameters)
    shards = plan_shards(tiling, PRODUCT, upscaler.bands, shard_bytes)
    chosen = occupied(source, tiling)
    finished = sum(number in shard.windows for shard in shards if shard.name in done for number in chosen)

    def windows(numbers: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        nonlocal finished
        before, finished = finished, finished + len(numbers)
        report = None if progress is None else lambda n, _: progress(before + n, len(chosen))
        return _predict(source, upscaler, tiling, parameters, device, numbers, report)

    wanted = ShardSet(staging, tiling, PRODUCT, upscaler.bands, shards, upscaler.name)
    return write_shards(wanted, windows, chosen, publish, done)


def stitch(patches: ShardSet, preprocessed: xr.Dataset, *, progress: Progress | None = None) -> RasterStream:
    """The raster that patch shards hold, blended while it is written; equal to that of `super_resolve`.

    Args:
        preprocessed: the scene that the patches were made from; gives the grid and the validity mask.
        progress: told the windows done and in all of the plan.

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

    def windows() -> Iterator[tuple[int, np.ndarray]]:
        for number, codes in patches.windows():
            yield number, codes
            if progress is not None:
                progress(number + 1, len(tiling))

    return _stream(preprocessed, patches.bands, tiling, patches.model, windows)


def plan_windows(preprocessed: xr.Dataset, upscaler: Upscaler, parameters: SuperResolveParameters) -> Plan:
    """The windows of a scene, checked before any work.

    Raises:
        PlanError: window, overlap and border do not cover the scene.
    """
    border = upscaler.reach if parameters.border is None else parameters.border
    if border < upscaler.reach:
        warnings.warn(
            f"Border {border} is less than the reach {upscaler.reach} of {upscaler.name}: where windows join, "
            "pixels change by what the model makes of a window's edge. Leave the border out to avoid it",
            stacklevel=2,
        )
    return plan(
        preprocessed.sizes["y"],
        preprocessed.sizes["x"],
        window=(parameters.window, parameters.window),
        overlap=2 * border + 4 if parameters.overlap is None else parameters.overlap,
        border=border,
        ramp=parameters.ramp,
        factor=upscaler.factor,
    )


def _predict(
    source: DatasetSource,
    upscaler: Upscaler,
    tiling: Plan,
    parameters: SuperResolveParameters,
    device: str,
    windows: Sequence[int],
    progress: Progress | None,
) -> Iterator[tuple[int, np.ndarray]]:
    return predict(
        upscaler.module.to(resolve_device(device)),
        FilledSource(source, upscaler.reach),
        tiling,
        windows=windows,
        batch_size=parameters.batch_size,
        device=device,
        progress=progress,
    )


def _stream(
    preprocessed: xr.Dataset,
    bands: tuple[str, ...],
    tiling: Plan,
    model: str,
    windows: Callable[[], Iterable[tuple[int, np.ndarray]]],
) -> RasterStream:
    """Codes of windows, blended: the same whether they come from the model or from shards."""
    row = contract_rows(PRODUCT, bands)[0]
    low, high = row.codes

    def encode(codes: np.ndarray) -> np.ndarray:
        rounded = np.clip(np.rint(codes), low, high)
        rounded[np.isnan(codes)] = row.nodata
        return rounded.astype(row.disk)

    def blocks() -> Iterator[RowBlock]:
        source = DatasetSource(preprocessed, bands)
        return mosaic(windows(), tiling, len(bands), valid=source.valid, encode=encode)

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
