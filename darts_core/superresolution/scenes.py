"""Super-resolution of whole scenes: directly, or by patch shards that are stitched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
import xarray as xr
from affine import Affine

from darts_core.contracts import ContractError
from darts_core.grids import Grid
from darts_core.inference.blocks import Block
from darts_core.inference.canvas import Valid
from darts_core.inference.feed import Observe
from darts_core.inference.geotiff import RasterStream, blocks_of, contract_rows
from darts_core.inference.mosaic import mosaic, visiting_order
from darts_core.inference.shards import ShardSet
from darts_core.inference.source import VALID, DatasetSource
from darts_core.superresolution.parameters import SuperResolveParameters
from darts_core.superresolution.patches import PRODUCT, is_needed, plan_patches
from darts_core.superresolution.upscaler import Upscaler
from darts_core.windows import Plan, Progress


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
