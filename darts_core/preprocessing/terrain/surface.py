"""What a cell and its eight neighbours say: slope, aspect, hillshade, curvature."""

from __future__ import annotations

import numpy as np

SURFACE_REACH = 1
"""Pixels around a cell that these features depend on."""

Convergence = np.ndarray | float
"""Degrees from true north clockwise to the grid's north, for every cell or for all."""


def slope(elevation: np.ndarray, pixel: tuple[float, float]) -> np.ndarray:
    """Steepness by the eight neighbours (Horn 1981, Proceedings of the IEEE 69).

    Args:
        elevation: metres, float, axes (y, x), NaN = nodata.
        pixel: size of a pixel in metres along (y, x).

    Returns:
        float32 degrees in 0..90, same shape; NaN in the outermost row and column, at nodata and beside it.
    """
    if min(elevation.shape) < 3:
        return framed(None, elevation)
    along_x, along_y = horn(elevation, pixel)
    along_x *= along_x
    along_y *= along_y
    along_x += along_y
    rise = np.sqrt(along_x, out=along_x).astype(np.float32)
    return framed(np.degrees(np.arctan(rise)), elevation)


def aspect(elevation: np.ndarray, pixel: tuple[float, float], convergence: Convergence = 0.0) -> np.ndarray:
    """Direction of steepest descent, by the eight neighbours as `slope`.

    Args:
        elevation: metres, float, axes (y, x), rows from the grid's north to its south, NaN = nodata.
        pixel: size of a pixel in metres along (y, x).
        convergence: see `darts_core.preprocessing.terrain.convergence`; 0 takes the grid's north for true north.

    Returns:
        float32 degrees in 0..360 clockwise from true north, same shape; NaN where `slope` is, and on flat cells,
        which face nowhere.
    """
    if min(elevation.shape) < 3:
        return framed(None, elevation)
    along_x, along_y = horn(elevation, pixel)
    # rows grow southwards: the surface falls to the east by -along_x and to the north by along_y
    bearing = np.degrees(np.arctan2(-along_x, along_y)) + _inside(convergence)
    bearing[(along_x == 0) & (along_y == 0)] = np.nan
    return framed(bearing % 360, elevation)


def hillshade(
    elevation: np.ndarray,
    pixel: tuple[float, float],
    sun_azimuth: float = 225.0,
    sun_elevation: float = 25.0,
    convergence: Convergence = 0.0,
) -> np.ndarray:
    """Brightness of a matt surface in the light of the sun, without cast shadows.

    The cosine of the angle between the light and the surface's normal (Lambert 1760), which is taken from the four
    neighbours by central differences (Zevenbergen and Thorne 1987, Earth Surface Processes and Landforms 12).

    Args:
        elevation: metres, float, axes (y, x), rows from the grid's north to its south, NaN = nodata.
        pixel: size of a pixel in metres along (y, x).
        sun_azimuth: degrees clockwise from true north to where the light comes from.
        sun_elevation: degrees above the horizon.
        convergence: as in `aspect`.

    Returns:
        float32 in 0..1, same shape, 0 where the surface faces away; NaN in the outermost row and column, at nodata
        and above, below and beside it.
    """
    if min(elevation.shape) < 3:
        return framed(None, elevation)
    height, width = pixel
    z = elevation.astype(np.float64, copy=False)
    along_x = (z[1:-1, 2:] - z[1:-1, :-2]) / (2 * width)
    along_y = (z[2:, 1:-1] - z[:-2, 1:-1]) / (2 * height)
    light = np.radians(sun_azimuth - _inside(convergence))
    level = np.cos(np.radians(sun_elevation))
    towards = np.sin(np.radians(sun_elevation)) + level * (along_y * np.cos(light) - along_x * np.sin(light))
    shade = towards / np.sqrt(1 + along_x**2 + along_y**2)
    return framed(np.clip(shade, 0, 1), elevation)


def curvature(elevation: np.ndarray, pixel: tuple[float, float]) -> np.ndarray:
    """Curvature by the four neighbours: -100 times the sum of the second derivatives along x and y.

    Zevenbergen and Thorne 1987, Earth Surface Processes and Landforms 12: -2 (D + E) * 100, with D and E half of these.

    Args:
        elevation: metres, float, axes (y, x), NaN = nodata.
        pixel: size of a pixel in metres along (y, x).

    Returns:
        float32 in hundredths of 1/m, same shape, positive on tops and negative in hollows; NaN as `hillshade`. Its
        neighbours are summed in the precision of `elevation`.
    """
    if min(elevation.shape) < 3:
        return framed(None, elevation)
    height, width = pixel
    z = elevation[1:-1, 1:-1]
    d = ((elevation[1:-1, :-2] + elevation[1:-1, 2:]).astype(np.float64) / 2 - z) / width**2
    e = ((elevation[2:, 1:-1] + elevation[:-2, 1:-1]).astype(np.float64) / 2 - z) / height**2
    return framed(-2 * (d + e) * 100, elevation)


def horn(elevation: np.ndarray, pixel: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Rise per metre along (x, y) of the cells inside the frame, float64."""
    height, width = pixel
    z = elevation.astype(np.float64, copy=False)
    along_y = z[:-2] + 2 * z[1:-1] + z[2:]
    along_x = z[:, :-2] + 2 * z[:, 1:-1] + z[:, 2:]
    return (along_y[:, 2:] - along_y[:, :-2]) / (8 * width), (along_x[2:] - along_x[:-2]) / (8 * height)


def _inside(convergence: Convergence) -> Convergence:
    return convergence[1:-1, 1:-1] if isinstance(convergence, np.ndarray) else convergence


def framed(inside: np.ndarray | None, elevation: np.ndarray) -> np.ndarray:
    """float32 with NaN around: a cell without elevation has no feature, though its neighbours' do not ask for it."""
    result = np.full(elevation.shape, np.nan, np.float32)
    if inside is not None:
        result[1:-1, 1:-1] = inside
        result[np.isnan(elevation)] = np.nan
    return result
