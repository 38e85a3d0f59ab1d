"""Terrain features on a scene's grid, block by block, each with the neighbourhood that it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from darts_core import contracts
from darts_core.auxiliary import AuxiliarySources, read_dem
from darts_core.grids import Grid
from darts_core.preprocessing import terrain
from darts_core.preprocessing.parameters import PreprocessParameters
from darts_core.preprocessing.terrain.north import require_north_up


@dataclass(frozen=True, slots=True)
class Sun:
    """Where the light of a hillshade comes from."""

    azimuth: float = 225.0
    """Degrees clockwise from true north."""
    elevation: float = 25.0
    """Degrees above the horizon; the default is DARTS's."""

    @classmethod
    def of(cls, raw: xr.Dataset) -> Sun:
        """That of the scene, where its STAC Item says so (view extension) and it is above the horizon."""
        properties: Mapping[str, Any] = raw.attrs.get("stac_item", {}).get("properties", {})
        azimuth, elevation = (properties.get(f"view:sun_{angle}") for angle in ("azimuth", "elevation"))
        if azimuth is None or elevation is None or not 0 < float(elevation) <= 90:
            return cls()
        return cls(float(azimuth), float(elevation))


@dataclass(frozen=True, slots=True)
class _Feature:
    """How a block of elevation becomes a feature."""

    make: Callable[[np.ndarray, np.ndarray | float], np.ndarray]
    """Of elevation and meridian convergence (0 unless `directed`)."""
    reach: tuple[int, int]
    """Pixels (rows, columns) around a cell that it depends on."""
    directed: bool = False


def terrain_features(
    names: Sequence[str],
    auxiliary: AuxiliarySources,
    grid: Grid,
    parameters: PreprocessParameters,
    sun: Sun,
    chunks: tuple[tuple[int, ...], ...],
) -> dict[str, xr.DataArray]:
    """Features of the elevation, by name. Lazy.

    Args:
        names: of the rows `TERRAIN` of `darts_core.contracts`.
        auxiliary: where the DEM lies; only what lies within the scene and its neighbourhood is read.
        grid: the scene's.
        parameters: radii and reaches.
        sun: where the light of the hillshade comes from.
        chunks: the scene's chunk sizes along (y, x).

    Returns:
        float32 arrays without coordinates, axes (y, x), on the scene's grid, each with `data_source` and `coverage`;
        none without names or without a DEM.

    Raises:
        AuxiliaryError: a DEM that cannot be read or does not touch the scene.
        GridError: a geographic CRS; or aspect or hillshade on a grid that is not north-up.
    """
    if not names or auxiliary.dem is None:
        return {}
    pixel = grid.metres()
    table = _table(pixel, parameters, sun)
    features = {name: table[name] for name in names}
    if any(feature.directed for feature in features.values()):
        require_north_up(grid)
    rows, columns = (max(reach) for reach in zip(*(feature.reach for feature in features.values()), strict=True))
    buffer = max(rows * pixel[0], columns * pixel[1])
    dem = read_dem(
        auxiliary.dem, grid, buffer, chunks, cache=auxiliary.cache, storage_options=auxiliary.storage_options
    )
    attrs = {name: dem.attrs[name] for name in ("data_source", "coverage")}
    return {
        name: xr.DataArray(_blockwise(feature, dem, grid, chunks), dims=contracts.DIMENSIONS, attrs=attrs)
        for name, feature in features.items()
    }


def _table(pixel: tuple[float, float], parameters: PreprocessParameters, sun: Sun) -> dict[str, _Feature]:
    surface = (terrain.SURFACE_REACH,) * 2
    outer, inner = parameters.relative_elevation_radius_m, parameters.relative_elevation_inner_radius_m
    rows, columns = terrain.reach(pixel, parameters.ruggedness_reach_m)
    window = max(1, rows), max(1, columns)
    row = contracts.VARIABLES["relative_elevation"]
    lowest, highest = row.decode(np.array(row.codes, row.disk))

    def position(block: np.ndarray, _: np.ndarray | float) -> np.ndarray:
        return np.clip(terrain.relative_elevation(block, pixel, outer, inner), lowest, highest)

    def shade(block: np.ndarray, north: np.ndarray | float) -> np.ndarray:
        return terrain.hillshade(block, pixel, sun.azimuth, sun.elevation, north)

    return {
        "dem": _Feature(lambda block, _: block, (0, 0)),
        "relative_elevation": _Feature(position, terrain.reach(pixel, outer)),
        "slope": _Feature(lambda block, _: terrain.slope(block, pixel), surface),
        "aspect": _Feature(lambda block, north: terrain.aspect(block, pixel, north), surface, directed=True),
        "hillshade": _Feature(shade, surface, directed=True),
        "curvature": _Feature(lambda block, _: terrain.curvature(block, pixel), surface),
        "terrain_ruggedness_index": _Feature(lambda block, _: terrain.ruggedness_index(block, window), window),
        "vector_ruggedness_measure": _Feature(
            lambda block, _: terrain.vector_ruggedness(block, pixel, window),
            (window[0] + terrain.SURFACE_REACH, window[1] + terrain.SURFACE_REACH),
        ),
        "dissection_index": _Feature(lambda block, _: terrain.dissection_index(block, window), window),
    }


def _blockwise(feature: _Feature, dem: xr.DataArray, grid: Grid, chunks: tuple[tuple[int, ...], ...]) -> Any:
    """The feature as a dask array on the scene's grid, of elevation with a buffer around that."""
    import dask.array as da

    rows, columns = dem.attrs["buffer_pixels"]
    down, across = feature.reach
    # exactly what the scene's cells depend on: so every block with its overlap is one of the scene with its halo
    kept = dem.data[rows - down : rows + grid.height + down, columns - across : columns + grid.width + across]
    overlapped = da.overlap.overlap(kept, depth={0: down, 1: across}, boundary="none")
    inner = tuple(
        tuple(size - 2 * cells for size in sizes) for sizes, cells in zip(overlapped.chunks, feature.reach, strict=True)
    )

    def make(block: np.ndarray, block_info: Any = None) -> np.ndarray:
        north: np.ndarray | float = 0.0
        if feature.directed:
            (top, bottom), (left, right) = block_info[None]["array-location"]
            around = slice(top - down, bottom + down), slice(left - across, right + across)
            north = terrain.convergence(grid, *around)
        made = feature.make(block, north)
        return made[down : made.shape[0] - down, across : made.shape[1] - across]

    made = da.map_blocks(make, overlapped, chunks=inner, dtype=np.float32, meta=np.empty((0, 0), np.float32))
    return made.rechunk(chunks)
