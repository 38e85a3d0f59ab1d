"""Training patches: model input and truth, cut from scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import xarray as xr
from rasterio.transform import array_bounds

from darts_core.errors import DartsError
from darts_core.grids import Grid
from darts_core.inference.normalization import Normalization
from darts_core.inference.source import DatasetSource, NormalizedSource, WindowSource, occupied
from darts_core.segmentation.composed import ComposedSource
from darts_core.segmentation.parameters import Input
from darts_core.training.parameters import TrainingPatchesParameters
from darts_core.vectors.outlines import outlines_in, slump_mask
from darts_core.windows import Plan, Progress, Window, plan

IGNORE = 255
"""Mask value of pixels that neither count for nor against a model."""


class TrainingError(DartsError):
    """Scenes and truth from which nothing can be learned."""


@dataclass(frozen=True, slots=True)
class TrainingScene:
    """A scene to learn from."""

    name: str
    preprocessed: xr.Dataset
    """Memory form of the preprocessed contract, lazy or not."""
    super_resolved: xr.Dataset | None = None


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A patch that may be taken."""

    scene: int
    window: Window
    mask: np.ndarray
    block: tuple[int, int, int]
    positive: bool


def make_training_patches(
    scenes: Sequence[TrainingScene],
    truth: gpd.GeoDataFrame,
    parameters: TrainingPatchesParameters,
    *,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Cut patches from scenes, balanced towards those with slumps, and keep whole blocks of them for validation.

    Args:
        truth: slump outlines in any CRS.
        progress: told the patches read and in all.

    Returns:
        `image` float16 (patch, band, y, x), model input 0..1 with 0 where nodata; `mask` uint8 (patch, y, x),
        1 slump, 0 none, 255 not to be counted; and a patch: `scene` (number in the attribute `scenes`), `row` and
        `col` of its window, and `validation` (bool). No pixel of a validation patch is in a training patch. The
        attributes `crs` and `bounds` (left, bottom, right, top) say where the scenes lie.

    Raises:
        TrainingError: no scene, truth without CRS, no slump in any scene, or no super-resolved raster where
            one is asked for.
        ContractError: a scene lacks a band.
    """
    if not scenes:
        raise TrainingError("There is no scene to make patches from; materialize preprocessed scenes first")
    if truth.crs is None:
        raise TrainingError("The truth has no CRS; set the one it was drawn in")
    sources = [_source(scene, parameters) for scene in scenes]
    candidates = [
        candidate
        for number, (source, grid) in enumerate(sources)
        for candidate in _candidates(number, source, grid, truth, parameters)
    ]
    chosen = _balanced(candidates, parameters)
    validation = _validation(chosen, parameters)
    kept = [index for index in range(len(chosen)) if validation[index] or not _leaks(index, chosen, validation)]
    patches = [chosen[index] for index in kept]
    normalization = Normalization.contract(parameters.bands)
    readers = [NormalizedSource(source, normalization) for source, _ in sources]
    size = parameters.patch_size
    images = np.zeros((len(patches), len(parameters.bands), size, size), np.float16)
    masks = np.full((len(patches), size, size), IGNORE, np.uint8)
    for index, patch in enumerate(patches):
        images[index, :, : patch.window.height, : patch.window.width] = readers[patch.scene].read(patch.window)
        masks[index, : patch.window.height, : patch.window.width] = patch.mask
        if progress is not None:
            progress(index + 1, len(patches))
    return _dataset(images, masks, patches, validation[kept], scenes, [grid for _, grid in sources], parameters)


def _source(scene: TrainingScene, parameters: TrainingPatchesParameters) -> tuple[WindowSource, Grid]:
    bands = tuple(parameters.bands)
    if parameters.input is Input.NATIVE:
        return DatasetSource(scene.preprocessed, bands), Grid.of(scene.preprocessed)
    if scene.super_resolved is None:
        raise TrainingError(f"Scene {scene.name} has no super-resolved raster; materialize it, or train on native")
    return ComposedSource(scene.preprocessed, scene.super_resolved, bands), Grid.of(scene.super_resolved)


def _candidates(
    scene: int, source: WindowSource, grid: Grid, truth: gpd.GeoDataFrame, parameters: TrainingPatchesParameters
) -> list[_Candidate]:
    """Every window of a scene with a valid pixel, with its mask."""
    size = parameters.patch_size
    tiling = plan(*grid.shape, window=(size, size), overlap=parameters.overlap)
    outlines = outlines_in(truth, grid)
    found = []
    for number in occupied(source, tiling):
        window = tiling[number]
        mask = slump_mask(outlines, window, grid)
        mask[~source.valid(window)] = IGNORE
        positive = int((mask == 1).sum()) >= parameters.min_slump_pixels
        found.append(_Candidate(scene, window, mask, _block(scene, number, tiling, parameters.block), positive))
    return found


def _block(scene: int, number: int, tiling: Plan, size: int) -> tuple[int, int, int]:
    row, col = divmod(number, len(tiling.col_offsets))
    return scene, row // size, col // size


def _balanced(candidates: list[_Candidate], parameters: TrainingPatchesParameters) -> list[_Candidate]:
    """All positives and some negatives, in their order, at most `max_patches`."""
    positive = [index for index, one in enumerate(candidates) if one.positive]
    negative = [index for index, one in enumerate(candidates) if not one.positive]
    if not positive:
        raise TrainingError(
            f"No slump of the truth covers {parameters.min_slump_pixels} valid pixels of any patch; check that "
            "truth and scenes lie in the same place"
        )
    rng = np.random.default_rng(parameters.seed)
    share = 1 / (1 + parameters.negatives)
    most = min(len(positive), max(1, round(parameters.max_patches * share)))
    taken = rng.choice(positive, most, replace=False).tolist()
    others = min(len(negative), round(most * parameters.negatives), parameters.max_patches - most)
    taken += rng.choice(negative, others, replace=False).tolist() if others else []
    return [candidates[index] for index in sorted(taken)]


def _validation(chosen: list[_Candidate], parameters: TrainingPatchesParameters) -> np.ndarray:
    """Bool (patch,): blocks with and blocks without slumps are drawn apart, so that both sides have slumps."""
    with_slumps = sorted({one.block for one in chosen if one.positive})
    without = sorted({one.block for one in chosen} - set(with_slumps))
    rng = np.random.default_rng(parameters.seed)
    held: set[tuple[int, int, int]] = set()
    for blocks in (with_slumps, without):
        count = min(len(blocks) - 1, max(1, round(len(blocks) * parameters.validation_share)))
        held |= {blocks[index] for index in rng.permutation(len(blocks))[: max(count, 0)]}
    return np.array([one.block in held for one in chosen], bool)


def _leaks(index: int, chosen: list[_Candidate], validation: np.ndarray) -> bool:
    """Whether a training patch shares a pixel with a validation patch."""
    one = chosen[index]
    return any(
        held and other.scene == one.scene and _intersect(one.window, other.window)
        for other, held in zip(chosen, validation, strict=True)
    )


def _intersect(one: Window, other: Window) -> bool:
    return (
        one.row < other.rows.stop
        and other.row < one.rows.stop
        and one.col < other.cols.stop
        and other.col < one.cols.stop
    )


def _dataset(
    images: np.ndarray,
    masks: np.ndarray,
    patches: list[_Candidate],
    validation: np.ndarray,
    scenes: Sequence[TrainingScene],
    grids: Sequence[Grid],
    parameters: TrainingPatchesParameters,
) -> xr.Dataset:
    return xr.Dataset(
        {
            "image": (("patch", "band", "y", "x"), images),
            "mask": (("patch", "y", "x"), masks),
            "scene": ("patch", np.array([one.scene for one in patches], np.int32)),
            "row": ("patch", np.array([one.window.row for one in patches], np.int32)),
            "col": ("patch", np.array([one.window.col for one in patches], np.int32)),
            "validation": ("patch", validation),
        },
        attrs={
            "bands": list(parameters.bands),
            "scenes": [scene.name for scene in scenes],
            "crs": [grid.crs.to_string() for grid in grids],
            "bounds": [list(array_bounds(*grid.shape, grid.transform)) for grid in grids],
            "input": parameters.input.value,
            "ignore": IGNORE,
        },
    )
