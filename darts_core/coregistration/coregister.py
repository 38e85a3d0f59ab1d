"""The verb `coregister`: the same scene, where the reference says that it lies."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import dask
import numpy as np
import xarray as xr
from affine import Affine

from darts_core.coregistration.matching import LEAST_VALID, Match, agreement, match
from darts_core.coregistration.parameters import CoregistrationParameters
from darts_core.coregistration.reference import CoregistrationError, Reference, open_reference
from darts_core.coregistration.resampling import resample
from darts_core.grids import Grid
from darts_core.scenes.quality import HIGH, quality_level

_CANDIDATES = 4
"""Places that are looked at for each window that is compared: some are cloud, water or outside the reference."""
_LEAST_WINDOW = 32
"""Pixels."""


@dataclass(frozen=True, slots=True)
class Shift:
    """How far a scene lies off a reference: what is added to its place to be right."""

    rows: float
    """Pixels of the scene, down."""
    columns: float
    """Pixels of the scene, right."""
    x_m: float
    """Metres along the x axis of the scene's CRS."""
    y_m: float
    """Metres along its y axis."""
    reliability: float
    """Percent: median correlation of the windows that agree."""
    windows: int
    """How many agree."""
    compared: int
    """How many were reliable enough to be asked."""


def coregister(dataset: xr.Dataset, reference: str, parameters: CoregistrationParameters | None = None) -> xr.Dataset:
    """The scene shifted onto a reference. Lazy where `dataset` is; only the windows that are compared are read.

    Args:
        dataset: a raw scene as `read_scene` gives it, or reflectance as float with NaN, axes (y, x), with a projected
            CRS; quality layers in it keep clouds and snow out of the comparison.
        reference: path of a raster in any CRS that GDAL reads, of about the same resolution.
        parameters: see `CoregistrationParameters`.

    Returns:
        The same variables. By default the same values under other coordinates, on request resampled onto the pixels
        of the reference (bilinear; masks and classes by the nearest pixel), cut to the scene. Further attributes say
        what was done: ``coregistration`` (``shifted``, ``resampled`` or ``not shifted: …``) and, where it was,
        ``coregistration_x_m``, ``…_y_m``, ``…_reliability`` (percent) and ``…_windows``. ``stac_item`` still says where
        the delivery lay.

    Raises:
        CoregistrationError: see `measure_shift`; not where `keep_unreliable` leaves such a scene as it is.
        GridError: no CRS, or a geographic one.
    """
    parameters = parameters or CoregistrationParameters()
    try:
        shift = measure_shift(dataset, reference, parameters)
    except UnreliableShift as reason:
        if not parameters.keep_unreliable:
            raise
        return dataset.assign_attrs(coregistration=f"not shifted: {reason}")
    moved = dataset.assign_coords(_moved(Grid.of(dataset), shift).coordinates())
    if parameters.resample:
        moved = resample(moved, reference)
    return moved.assign_attrs(
        coregistration="resampled" if parameters.resample else "shifted",
        coregistration_x_m=shift.x_m,
        coregistration_y_m=shift.y_m,
        coregistration_reliability=shift.reliability,
        coregistration_windows=shift.windows,
    )


class UnreliableShift(CoregistrationError):
    """Scene and reference are sound, but no shift between them can be believed."""


def measure_shift(dataset: xr.Dataset, reference: str, parameters: CoregistrationParameters | None = None) -> Shift:
    """How far a scene lies off a reference, by what most of several windows agree on. Arguments as for `coregister`.

    Raises:
        UnreliableShift: no window with data in both is reliable enough, they do not agree, or the shift is larger
            than the limit.
        CoregistrationError: no such band in the scene, or a reference that cannot be read.
        GridError: no CRS, or a geographic one.
    """
    parameters = parameters or CoregistrationParameters()
    grid = Grid.of(dataset)
    metres = grid.metres()[1] / grid.resolution[1]
    scene = str(dataset.attrs.get("scene", "the scene"))
    values = _values(dataset, parameters.band, scene)
    with open_reference(reference, grid, parameters.band, parameters.reference_band) as opened:
        matches = _matches(values, grid, opened, parameters)
    reliable = _reliable(matches, parameters, f"{scene} against {reference}")
    common, windows = _believed(reliable, parameters, f"{scene} against {reference}")
    a, b, _, d, e, _ = tuple(grid.transform)[:6]
    x, y = a * common.columns + b * common.rows, d * common.columns + e * common.rows
    return Shift(common.rows, common.columns, x * metres, y * metres, common.reliability, windows, len(reliable))


def _reliable(matches: Sequence[Match], parameters: CoregistrationParameters, what: str) -> list[Match]:
    reliable = [each for each in matches if each.reliability >= parameters.reliability_percent]
    if not reliable:
        best = max((each.reliability for each in matches), default=0.0)
        raise UnreliableShift(
            f"{what}: expected a reliability of {parameters.reliability_percent:g} % in one window at least, found "
            f"{best:.0f} % in the best of {len(matches)}. Do they show the same place, at the same time of year, "
            "and without clouds? Choose another reference or band"
        )
    return reliable


def _believed(reliable: Sequence[Match], parameters: CoregistrationParameters, what: str) -> tuple[Match, int]:
    """What the windows agree on, and how many of them: all if they can, else those within the limit."""
    within = [each for each in reliable if each.length <= parameters.limit_px]
    agreed = agreement(reliable) or agreement(within)
    if agreed is None:
        raise UnreliableShift(
            f"{what}: {len(reliable)} windows do not agree on a shift. Is one of the two warped, or under clouds?"
        )
    if agreed[0].length > parameters.limit_px:
        raise UnreliableShift(
            f"{what}: found a shift of {agreed[0].length:.1f} pixels, more than the limit of {parameters.limit_px:g}. "
            "Is it the right reference? If so, raise limit_px"
        )
    return agreed


def _moved(grid: Grid, shift: Shift) -> Grid:
    return replace(grid, transform=grid.transform @ Affine.translation(shift.columns, shift.rows))


def _values(dataset: xr.Dataset, band: str, scene: str) -> xr.DataArray:
    """float32 numbers of a band, axes (y, x), NaN where they are no data or of low quality."""
    if band not in dataset:
        raise CoregistrationError(
            f"{scene}: expected the band {band} to compare, it has {', '.join(map(str, dataset))}"
        )
    numbers = dataset[band]
    valid = numbers.notnull() if "_FillValue" not in numbers.attrs else numbers != numbers.attrs["_FillValue"]
    good = dataset["quality_level"] if "quality_level" in dataset else quality_level(dataset, valid)
    return numbers.astype(np.float32).where(valid & (good == HIGH))


def _matches(
    values: xr.DataArray, grid: Grid, reference: Reference, parameters: CoregistrationParameters
) -> list[Match]:
    """Of the windows that hold enough data in both."""
    size = min(parameters.window_px, *grid.shape)
    if size < _LEAST_WINDOW:
        raise CoregistrationError(
            f"Expected a scene of at least {_LEAST_WINDOW} x {_LEAST_WINDOW} pixels to compare, received {grid.shape}"
        )
    margin = math.ceil(parameters.limit_px) + 1
    finest = max(reference.grid.metres()) if reference.grid.crs.is_projected else 0.0
    detail = max(1.0, finest / max(grid.metres()))
    matches: list[Match] = []
    places = _places(grid.shape, size, _CANDIDATES * parameters.windows)
    for (row, column), window in zip(places, _windows(values, places, size, margin), strict=True):
        if len(matches) == parameters.windows:
            break
        if np.isfinite(window[margin:-margin, margin:-margin]).mean() < LEAST_VALID:
            continue
        place = reference.read(slice(row, row + size), slice(column, column + size))
        found = match(window, place, iterations=parameters.iterations, limit=parameters.limit_px, detail=detail)
        if found is not None:
            matches.append(found)
    return matches


def _places(shape: tuple[int, int], size: int, most: int) -> list[tuple[int, int]]:
    """Upper left pixels of windows, in an order of which any beginning is spread over the scene.

    They lie side by side; where not even a quarter of `most` fits so, they overlap by half.
    """
    step = size if (shape[0] // size) * (shape[1] // size) >= most // 4 else size // 2
    starts = [range((length - size) % step // 2, length - size + 1, step) for length in shape]
    places = list(product(*starts))
    chosen = np.unique(np.linspace(0, len(places) - 1, min(most, len(places))).round().astype(int))
    return [places[index] for index in np.random.default_rng(0).permutation(chosen)]


def _windows(values: xr.DataArray, places: Sequence[tuple[int, int]], size: int, margin: int) -> Iterator[np.ndarray]:
    """The windows with `margin` around them, NaN beyond the scene; of a lazy scene all in one go."""
    cut, pads = [], []
    for row, column in places:
        spans = [(start - margin, start + size + margin) for start in (row, column)]
        inside = [(max(0, first), min(last, length)) for (first, last), length in zip(spans, values.shape, strict=True)]
        cut.append(values.data[tuple(slice(*span) for span in inside)])
        pads.append([(low - first, last - high) for (first, last), (low, high) in zip(spans, inside, strict=True)])
    # a block of the file that several windows lie in is decoded once
    for window, pad in zip(dask.compute(*cut), pads, strict=True):
        yield np.pad(window, pad, constant_values=np.nan)
