"""What lies between the ground and the sensor: clouds, their shadows, noise, and the edge of the swath."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from darts_core.synthetic.grid import Bounds, Grid, SyntheticError
from darts_core.synthetic.landscape import SUN_AZIMUTH, SUN_ELEVATION
from darts_core.synthetic.noise import fractal_noise, smoothstep
from darts_core.synthetic.surface import BANDS

_CLOUD_REFLECTANCE = (0.62, 0.60, 0.59, 0.60, 0.62, 0.48)
_SHADOW_LIGHT = (0.52, 0.45, 0.40, 0.37, 0.34, 0.32)
"""Share of the light that reaches the ground below a cloud; the blue sky keeps shadows blue."""
_CLOUD_HEIGHT = 340.0
"""Metres above the ground: low stratocumulus, whose shadows fall beside it within a small scene."""


@dataclass(frozen=True, slots=True, eq=False)
class Sky:
    """The sky over one grid of points at one moment; float32 in 0..1, axes (y, x)."""

    cloud: np.ndarray
    """Opacity of the clouds; above 0.5 nothing of the ground is left to use."""
    shadow: np.ndarray
    """Depth of the shadows that the clouds throw on the ground."""


def sky(grid: Grid, cover: float, seed: int) -> Sky:
    """Clouds over a scene, and their shadows where the sun throws them.

    Args:
        grid: the scene; grids of the same bounds and other spacings see the same sky.
        cover: share of the scene below clouds, 0 (none) to 1.
        seed: names the moment.

    Raises:
        SyntheticError: a cover outside 0..1.
    """
    if not 0 <= cover <= 1:
        raise SyntheticError(f"Expected a cloud cover from 0 to 1, received {cover}")
    x, y = grid.centers()
    least = _cloud_threshold(grid.bounds, cover, seed)
    throw = _CLOUD_HEIGHT / np.tan(np.radians(SUN_ELEVATION))
    # a place is in shadow when there is a cloud between it and the sun
    east, north = throw * np.sin(np.radians(SUN_AZIMUTH)), throw * np.cos(np.radians(SUN_AZIMUTH))
    cloud = smoothstep(least - 0.06, least + 0.06, _banks(x, y, seed))
    shadow = smoothstep(least - 0.06, least + 0.06, _banks(x + east, y + north, seed))
    return Sky(cloud.astype(np.float32), (shadow * (1 - cloud)).astype(np.float32))


def _banks(x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    return fractal_noise(x, y, 1100, 6, seed + 300)


def _cloud_threshold(bounds: Bounds, cover: float, seed: int) -> float:
    """The noise above which there is cloud, so that `cover` of the scene is."""
    if cover == 0:
        return 2.0
    west, south, east, north = bounds
    x, y = np.meshgrid(np.linspace(west, east, 97), np.linspace(south, north, 97))
    return float(np.quantile(_banks(x, y, seed), 1 - cover))


def observe(reflectance: np.ndarray, above: Sky, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Reflectance as a sensor measures it under a sky.

    Args:
        reflectance: surface reflectance, axes (band, y, x) in the order of `BANDS`.
        above: the sky on the same grid.
        noise: standard deviation of the sensor noise, reflectance.
        rng: source of the noise.

    Returns:
        float32, same axes; noise may take it a little below 0.
    """
    cloud, shadow_light = (
        np.array(values, np.float32)[:, None, None] for values in (_CLOUD_REFLECTANCE, _SHADOW_LIGHT)
    )
    lit = reflectance * (1 - above.shadow * (1 - shadow_light))
    seen = lit + (cloud - lit) * above.cloud
    return seen + rng.normal(0, noise, (len(BANDS), *above.cloud.shape)).astype(np.float32)


def outside_swath(x: np.ndarray, y: np.ndarray, bounds: Bounds, share: float) -> np.ndarray:
    """True where the swath ends: a corner in the south-east, `share` of both sides of `bounds` long."""
    west, south, east, north = bounds
    from_east, from_south = (east - x) / (east - west), (y - south) / (north - south)
    return from_east + from_south < share
