"""The synthetic auxiliary data: an elevation model in polar projection, and trends in degrees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rasterio.transform import Affine
from rasterio.warp import transform as reproject_points
from rasterio.warp import transform_bounds

from darts_core.synthetic.grid import CRS, Bounds
from darts_core.synthetic.landscape import Landscape
from darts_core.synthetic.noise import fractal_noise, smoothstep
from darts_core.synthetic.rasters import GEOTIFF, write_raster

DEM_CRS, TRENDS_CRS = "EPSG:3413", "EPSG:4326"
DEM_NODATA = -9999.0
MARGIN = 500.0
"""Metres that both rasters reach beyond the bounds asked for."""
TRENDS = ("tc_brightness", "tc_greenness", "tc_wetness")
NO_TREND = 128

_DEM_PIXEL = 10.0
_TRENDS_PIXEL = (0.00072, 0.00027)
"""Degrees of longitude and latitude: both about 30 m at 68 degrees north."""


def write_auxiliary(folder: Path, landscape: Landscape, bounds: Bounds, seed: int) -> tuple[Path, Path]:
    """Write elevation and trends of an area and `MARGIN` around it.

    `dem.tif` is float32 metres in EPSG:3413 at 10 m, nodata -9999 outside the landscape; `trends.tif` is uint8 in
    EPSG:4326 at about 30 m, bands `TRENDS`, 128 no trend, below it falling, above it rising.

    Args:
        folder: where both go; made if missing.
        landscape: the world.
        bounds: west, south, east, north in metres of EPSG:32608: the area that needs auxiliary data.
        seed: of the noise in both.

    Returns:
        Paths of the DEM and of the trends.

    Raises:
        SyntheticError: bounds that with their margin leave the landscape.
    """
    west, south, east, north = bounds
    wide = (west - MARGIN, south - MARGIN, east + MARGIN, north + MARGIN)
    landscape.require(wide, "The auxiliary data with its margin")
    rng = np.random.default_rng([seed, 4])
    return _write_dem(folder / "dem.tif", landscape, wide, rng), _write_trends(
        folder / "trends.tif", landscape, wide, rng
    )


def _write_dem(path: Path, landscape: Landscape, bounds: Bounds, rng: np.random.Generator) -> Path:
    transform, shape = _covering(bounds, DEM_CRS, (_DEM_PIXEL, _DEM_PIXEL))
    x, y = _world_coordinates(transform, shape, DEM_CRS)
    elevation = landscape.sample(landscape.elevation, x, y)
    elevation = elevation + rng.normal(0, 0.08, shape).astype(np.float32)
    west, south, east, north = landscape.grid.bounds
    known = (x >= west) & (x <= east) & (y >= south) & (y <= north)
    pixels = np.where(known, elevation, DEM_NODATA).astype(np.float32)
    options = {**GEOTIFF, "predictor": 3}
    return write_raster(path, pixels[None], DEM_CRS, transform, options, DEM_NODATA, ("elevation",))


def _write_trends(path: Path, landscape: Landscape, bounds: Bounds, rng: np.random.Generator) -> Path:
    transform, shape = _covering(bounds, TRENDS_CRS, _TRENDS_PIXEL)
    x, y = _world_coordinates(transform, shape, TRENDS_CRS)
    layers = [np.clip(np.rint(layer + rng.normal(0, 2.5, shape)), 0, 255) for layer in trends(landscape, x, y, 30.0)]
    pixels, options = np.stack(layers).astype(np.uint8), {**GEOTIFF, "predictor": 2}
    return write_raster(path, pixels, TRENDS_CRS, transform, options, names=TRENDS)


def trends(landscape: Landscape, x: np.ndarray, y: np.ndarray, resolution: float) -> np.ndarray:
    """Two decades of change at world coordinates: float32, axes (trend, y, x), `TRENDS`, 128 no trend.

    Slumps turn tundra to wet mud: greenness falls, brightness and wetness rise, most where a slump is fresh.
    Elsewhere shrubs spread along the streams, and old burns recover.
    """
    half = resolution / 2
    slump = smoothstep(half, -half, landscape.sample(landscape.slump, x, y))
    change = slump * landscape.sample(landscape.activity, x, y)
    water = smoothstep(half, -half, np.minimum(*(landscape.sample(a, x, y) for a in (landscape.river, landscape.lake))))
    shrubs = smoothstep(60, 10, landscape.sample(landscape.track, x, y)) * (1 - slump) * (1 - water)
    burn = smoothstep(0.3, 0.6, fractal_noise(x, y, 900, 3, landscape.seed + 400)) * (1 - slump)
    drift = [5 * fractal_noise(x, y, 400, 3, landscape.seed + 410 + 10 * band) for band in range(len(TRENDS))]
    brightness = drift[0] + 42 * change - 14 * burn - 5 * shrubs
    greenness = drift[1] - 62 * change + 16 * burn + 14 * shrubs
    wetness = drift[2] + 30 * change + 6 * shrubs + 8 * water
    return (NO_TREND + np.stack([brightness, greenness, wetness])).astype(np.float32)


def _covering(bounds: Bounds, crs: str, pixel: tuple[float, float]) -> tuple[Affine, tuple[int, int]]:
    """The grid of whole pixels, counted from the origin of `crs`, that covers bounds in the world's CRS."""
    west, south, east, north = transform_bounds(CRS, crs, *bounds, densify_pts=21)
    left, right = np.floor(west / pixel[0]), np.ceil(east / pixel[0])
    bottom, top = np.floor(south / pixel[1]), np.ceil(north / pixel[1])
    transform = Affine(pixel[0], 0, left * pixel[0], 0, -pixel[1], top * pixel[1])
    return transform, (int(top - bottom), int(right - left))


def _world_coordinates(transform: Affine, shape: tuple[int, int], crs: str) -> tuple[np.ndarray, np.ndarray]:
    column, row = np.meshgrid(np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5)
    east, north = transform.c + column * transform.a, transform.f + row * transform.e
    x, y = reproject_points(crs, CRS, east.ravel(), north.ravel())
    return np.reshape(x, shape), np.reshape(y, shape)
