"""The synthetic landscape: what lies where, as functions of world coordinates.

Scenes of any sensor and grid, the DEM, the trends and the truth are all sampled from one `Landscape`, so they agree.
The place is a stretch of the Peel Plateau in tile T08WMA; only the place is real.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from darts_core.synthetic.grid import Bounds, Grid, SyntheticError
from darts_core.synthetic.noise import fractal_noise, smoothstep
from darts_core.synthetic.slumps import Slump, place_slumps, signed_distance, slump_fields
from darts_core.synthetic.terrain import Terrain, carve, stream_points

EXTENT: Bounds = (484_000.0, 7_536_000.0, 490_000.0, 7_542_000.0)
"""Where the default landscape lies, in `grid.CRS`."""
SPACING = 5.0
SUN_AZIMUTH, SUN_ELEVATION = 195.0, 33.0
"""Degrees, early afternoon in August; the same for every scene."""

_SLUMPS_PER_KM2 = 0.85
_LAKES_PER_KM2 = 0.45
_TRACK_KM2, _RIVER_KM2 = 0.05, 1.2
"""Catchments from which on a line of wet ground, or a river with open water, is seen."""
_PAD = 900.0
"""Metres of terrain around the extent, so that the streams do not know where it ends."""


@dataclass(frozen=True, slots=True, eq=False)
class Landscape:
    """The layers of one synthetic world; all arrays float32 with axes (y, x) on `grid`, in metres."""

    seed: int
    grid: Grid
    elevation: np.ndarray
    """Metres above the geoid, scars of the slumps cut in, lakes level."""
    river: np.ndarray
    """Signed distance to the nearest bank of a river, negative in the water."""
    river_width: np.ndarray
    """Half the width of the nearest river."""
    track: np.ndarray
    """Distance to the nearest line of running water, rivers included; up to 26 more where it is but a trickle."""
    lake: np.ndarray
    """Signed distance to the nearest shore, negative in the water."""
    slump: np.ndarray
    """Signed distance to the nearest outline of a slump, negative inside, clipped to +-60."""
    tongue: np.ndarray
    """The same for the debris below the slumps."""
    depth: np.ndarray
    """Ground lost to the slumps, 0 outside."""
    activity: np.ndarray
    """0 away from slumps, near one from 0.5 (half revegetated) to 1 (fresh); no unit."""
    relief: np.ndarray
    """Elevation above the mean of the surroundings of about 100 m, without the slumps."""
    shade: np.ndarray
    """Light on the slope relative to light on level ground; no unit."""
    slumps: tuple[Slump, ...]
    """Every slump, also those at the edge."""

    def sample(self, layer: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """One of the layers at world coordinates (metres), bilinear."""
        return self.grid.sample(layer, x, y)

    def require(self, bounds: Bounds, what: str) -> None:
        """Refuse bounds that leave the landscape.

        Raises:
            SyntheticError: naming `what`, the bounds, and the landscape's own.
        """
        west, south, east, north = self.grid.bounds
        if not (west <= bounds[0] < bounds[2] <= east and south <= bounds[1] < bounds[3] <= north):
            raise SyntheticError(
                f"{what} covers {bounds}, but the landscape of seed {self.seed} ends at {self.grid.bounds} "
                "(west, south, east, north). Choose bounds inside it, or give make_landscape a larger extent"
            )


def make_landscape(seed: int, extent: Bounds = EXTENT) -> Landscape:
    """A landscape: plateau, valleys, rivers, lakes and thaw slumps, a pure function of its arguments.

    Args:
        seed: names the landscape; 0 and up.
        extent: west, south, east, north in metres of EPSG:32608, at least 1 km and whole multiples of 5 m.

    Raises:
        SyntheticError: a seed or an extent outside these limits.
    """
    if seed < 0:
        raise SyntheticError(f"Expected a seed of 0 or more, received {seed}")
    grid = Grid.of(extent, SPACING)
    if min(grid.shape) * SPACING < 1000:
        raise SyntheticError(f"Expected an extent of at least 1 km, received {extent}")
    rng = np.random.default_rng([seed, 1])
    terrain = carve(_padded(extent), seed)
    elevation = _refine(terrain, grid, seed)
    river, river_width, river_level, track = _streams(terrain, grid, elevation, seed)
    elevation = _flood_plain(elevation, river, river_width, river_level)
    elevation, lake = _lakes(grid, elevation, np.minimum(river, track), seed, rng)
    slumps = _slumps(grid, elevation, river, track, lake, rng)
    depth, activity = slump_fields(grid, slumps)
    relief = elevation - ndimage.gaussian_filter(elevation, 100 / SPACING)
    # a lake or river that a scar reaches keeps its level
    elevation = elevation - depth * smoothstep(0, 10, np.minimum(lake, river))
    return Landscape(
        seed,
        grid,
        elevation=elevation.astype(np.float32),
        river=river.astype(np.float32),
        river_width=river_width.astype(np.float32),
        track=track.astype(np.float32),
        lake=lake.astype(np.float32),
        slump=signed_distance(grid, [slump.outline for slump in slumps]),
        tongue=signed_distance(grid, [slump.tongue for slump in slumps]),
        depth=depth,
        activity=activity,
        relief=relief.astype(np.float32),
        shade=_shade(elevation).astype(np.float32),
        slumps=slumps,
    )


def _padded(extent: Bounds) -> Grid:
    west, south, east, north = extent
    side = 30.0
    width, height = (int(np.ceil((size + 2 * _PAD) / side)) for size in (east - west, north - south))
    return Grid(west - _PAD, north + _PAD, side, height, width)


def _warp(x: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A displacement in metres that makes valleys wind."""
    east = 110 * fractal_noise(x, y, 900, 2, seed + 100) + 34 * fractal_noise(x, y, 230, 2, seed + 104)
    north = 110 * fractal_noise(x, y, 900, 2, seed + 110) + 34 * fractal_noise(x, y, 230, 2, seed + 114)
    return east, north


def _refine(terrain: Terrain, grid: Grid, seed: int) -> np.ndarray:
    x, y = grid.centers()
    east, north = _warp(x, y, seed)
    winding = terrain.grid.sample(terrain.elevation, x + east, y + north, order=3)
    return winding + 1.6 * fractal_noise(x, y, 110, 4, seed + 120)


def _streams(
    terrain: Terrain, grid: Grid, elevation: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Signed distance to the river bank, half width and level of the river, distance to any track."""
    x, y, catchment = stream_points(terrain, _TRACK_KM2, grid.spacing * 0.8)
    # the elevation at p was taken from p + warp(p): a stream point s lies where p + warp(p) = s
    east, north = np.zeros_like(x), np.zeros_like(y)
    for _ in range(8):
        east, north = _warp(x - east, y - north, seed)
    row, column = (np.rint(axis).astype(int) for axis in grid.index(x - east, y - north))
    inside = (row >= 0) & (row < grid.height) & (column >= 0) & (column < grid.width)
    area = np.zeros(grid.shape)
    np.maximum.at(area, (row[inside], column[inside]), catchment[inside])
    track, nearest = ndimage.distance_transform_edt(area == 0, return_indices=True)
    # the smallest streams are wet ground only: they begin narrow and faint
    track = track * grid.spacing + 26 * smoothstep(6 * _TRACK_KM2, _TRACK_KM2, area[tuple(nearest)])
    if not (area >= _RIVER_KM2).any():
        dry = np.full(grid.shape, 1e4)
        return dry, np.full(grid.shape, 2.0), elevation, track
    away, nearest = ndimage.distance_transform_edt(area < _RIVER_KM2, return_indices=True)
    half = np.clip(1.2 + 1.7 * np.sqrt(area[tuple(nearest)]), 3, 22)
    half = ndimage.gaussian_filter(half, 3)
    level = ndimage.gaussian_filter(elevation[tuple(nearest)], 10)
    return away * grid.spacing - half, half, level, track


def _flood_plain(elevation: np.ndarray, river: np.ndarray, half: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Level ground beside the rivers: as wide as the river itself on either bank."""
    blend = smoothstep(half * 4 + 12, half * 1.2, river)
    bank = level + 0.8 * smoothstep(-2, 10, river)
    return elevation + (np.minimum(elevation, bank) - elevation) * blend


def _lakes(
    grid: Grid, elevation: np.ndarray, water: np.ndarray, seed: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Thermokarst lakes on level ground away from the streams: elevation with them, and their signed distance."""
    x, y = grid.centers()
    smooth = ndimage.gaussian_filter(elevation, 8)
    slope = np.degrees(np.arctan(np.hypot(*np.gradient(smooth, grid.spacing))))
    distance = np.full(grid.shape, 1e4)
    uneven = fractal_noise(x, y, 160, 3, seed + 130)
    count = round(_LAKES_PER_KM2 * elevation.size * grid.spacing**2 / 1e6)
    for _ in range(600 * count):
        if count == 0:
            break
        row, column = rng.integers(grid.height), rng.integers(grid.width)
        radius, stretch, turn = rng.uniform(35, 130), rng.uniform(0.6, 1.0), rng.uniform(0, np.pi)
        if slope[row, column] > 3.2 or min(water[row, column], distance[row, column]) < radius * 1.5 + 50:
            continue
        east, north = x - x[row, column], y - y[row, column]
        along = east * np.cos(turn) + north * np.sin(turn)
        across = (north * np.cos(turn) - east * np.sin(turn)) / stretch
        distance = np.minimum(distance, np.hypot(along, across) - radius * (1 + 0.55 * uneven))
        count -= 1
    basin, _ = ndimage.label(distance < 0)
    if not basin.any():
        return elevation, distance
    levels = np.array([0.0, *np.atleast_1d(ndimage.minimum(smooth, basin, np.arange(1, basin.max() + 1)))])
    nearest = ndimage.distance_transform_edt(basin == 0, return_distances=False, return_indices=True)
    shore = levels[basin[tuple(nearest)]] - 1.0
    return shore + (elevation - shore) * smoothstep(-1, 35, distance), distance


def _slumps(
    grid: Grid,
    elevation: np.ndarray,
    river: np.ndarray,
    track: np.ndarray,
    lake: np.ndarray,
    rng: np.random.Generator,
) -> tuple[Slump, ...]:
    count = round(_SLUMPS_PER_KM2 * elevation.size * grid.spacing**2 / 1e6)
    water = np.minimum(np.minimum(river, lake), track + 15)
    return place_slumps(grid, ndimage.gaussian_filter(elevation, 8), water, count, rng)


def _shade(elevation: np.ndarray) -> np.ndarray:
    """Lambert's cosine law on the elevation; level ground is 1, full shadow 0."""
    southward, eastward = np.gradient(elevation, SPACING)
    azimuth, height = np.radians(SUN_AZIMUTH), np.radians(SUN_ELEVATION)
    sun_east, sun_north = np.sin(azimuth) / np.tan(height), np.cos(azimuth) / np.tan(height)
    # the surface normal is (-dz/dx, -dz/dy, 1) and northing falls as rows rise
    light = (1 - eastward * sun_east + southward * sun_north) / np.sqrt(1 + eastward**2 + southward**2)
    return np.clip(light, 0, 2)
