"""Which of the configured auxiliary data serves a scene."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from darts_core.auxiliary.mosaic import lattice_points, mosaics
from darts_core.auxiliary.rasters import open_raster
from darts_core.auxiliary.sources import (
    TREND_EPOCHS,
    AuxiliaryError,
    AuxiliarySources,
    Where,
    dem_resolution,
    parts_of,
    trend_epoch,
)
from darts_core.grids import Grid

_MARGIN_M = 1000.0
"""How far beyond the scene a tile may lie and still be taken: the buffer of features is smaller."""


def choose_sources(sources: AuxiliarySources, grid: Grid, acquired: datetime | str | None) -> AuxiliarySources:
    """The sources that serve one scene: templates, epochs, patterns, catalogues and tiles settled.

    What is settled already stays as it is.

    Args:
        sources: as configured, for all scenes.
        grid: of the scene.
        acquired: acquisition time (ISO 8601 where text), which the epoch of the trends follows.

    Raises:
        AuxiliaryError: nothing there that touches the scene, or an epoch is needed and the time is not known.
    """
    year = _year(acquired)
    dem, trends = sources.dem, _of_epoch(sources.trends, year)
    if dem is not None:
        dem = _touching(_resolution(dem, grid), grid, sources, "DEM", None)
    if trends is not None:
        trends = _touching(trends, grid, sources, "Trends", year)
    return replace(sources, dem=dem, trends=trends)


def _year(acquired: datetime | str | None) -> int | None:
    if isinstance(acquired, str):
        acquired = datetime.fromisoformat(acquired)
    return None if acquired is None else acquired.year


def _resolution(dem: Where, grid: Grid) -> Where:
    if not any("{resolution}" in part for part in parts_of(dem)):
        return dem
    metres = dem_resolution(min(grid.metres()))
    return tuple(part.replace("{resolution}", str(metres)) for part in parts_of(dem))


def _of_epoch(trends: Where | Mapping[int, Where] | None, year: int | None) -> Where | None:
    if trends is None:
        return None
    if isinstance(trends, Mapping):
        if not trends:
            raise AuxiliaryError("Trends: expected a source for one epoch at least, received an empty mapping")
        return trends[trend_epoch(_needed(year), tuple(trends))]
    if not any("{epoch}" in part for part in parts_of(trends)):
        return trends
    epoch = str(trend_epoch(_needed(year), TREND_EPOCHS))
    return tuple(part.replace("{epoch}", epoch) for part in parts_of(trends))


def _needed(year: int | None) -> int:
    if year is None:
        raise AuxiliaryError(
            "Trends are configured by epoch, and the scene does not say when it was acquired. Set the attribute "
            "acquired (ISO 8601) of the dataset, or configure one raster of trends"
        )
    return year


def _touching(where: Where, grid: Grid, sources: AuxiliarySources, what: str, year: int | None) -> Where:
    """The rasters of a source that touch the scene; where there is but one it is left to its reader to complain."""
    found = [url for part in parts_of(where) for url in _expanded(part, grid, what, year)]
    if len(found) == 1:
        return found[0]
    near = tuple(url for url in found if _touches(url, grid, sources))
    if not near:
        raise AuxiliaryError(
            f"{what}: none of the {len(found)} rasters of {', '.join(parts_of(where))} touches the scene. "
            "Configure rasters of the scene's region"
        )
    return near[0] if len(near) == 1 else near


def _expanded(part: str, grid: Grid, what: str, year: int | None) -> list[str]:
    if part.startswith("stac+"):
        from darts_core.auxiliary.stac import rasters_from_stac

        return rasters_from_stac(part, _around(grid), what, year)
    if "*" not in part:
        return [part]
    found = sorted(glob.glob(part, recursive=True))
    if not found:
        raise AuxiliaryError(f"{what}: no file matches {part}. Patterns are for local files; expected one at least")
    return found


def _touches(url: str, grid: Grid, sources: AuxiliarySources) -> bool:
    (mosaic,) = mosaics([open_raster(url, sources.storage_options)], [None], None)
    return bool(mosaic.holds(*lattice_points(mosaic, _around(grid))).any())


def _around(grid: Grid) -> Grid:
    rows, columns = (round(_MARGIN_M / size) for size in grid.metres()) if grid.crs.is_projected else (0, 0)
    return grid.grown(rows, columns)
