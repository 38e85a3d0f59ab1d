"""What the ground looks like: surface reflectance of a landscape at world coordinates, and what it is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from darts_core.synthetic.landscape import Landscape
from darts_core.synthetic.noise import fractal_noise, smoothstep, value_noise

BANDS = ("blue", "green", "red", "rededge", "nir", "swir")
"""Axis 0 of every reflectance here; Sentinel-2's B02, B03, B04, B05, B08 and B11."""

_SPECTRA = {
    "dry_tundra": (0.047, 0.072, 0.083, 0.135, 0.225, 0.230),
    "lichen": (0.075, 0.105, 0.120, 0.170, 0.240, 0.270),
    "sedge": (0.030, 0.068, 0.048, 0.130, 0.310, 0.190),
    "shrub": (0.021, 0.042, 0.028, 0.085, 0.255, 0.125),
    "willow": (0.026, 0.074, 0.036, 0.140, 0.380, 0.170),
    "rock": (0.106, 0.122, 0.134, 0.150, 0.170, 0.215),
    "gravel": (0.128, 0.150, 0.168, 0.182, 0.196, 0.210),
    "mud": (0.080, 0.088, 0.102, 0.113, 0.128, 0.115),
    "fresh_mud": (0.064, 0.066, 0.077, 0.085, 0.094, 0.068),
    "silt": (0.105, 0.124, 0.140, 0.152, 0.165, 0.150),
    "lake": (0.030, 0.034, 0.022, 0.014, 0.010, 0.005),
    "river": (0.075, 0.095, 0.090, 0.065, 0.040, 0.010),
    "snow": (0.860, 0.850, 0.830, 0.800, 0.740, 0.120),
}
"""Reflectance of each material in the order of `BANDS`."""


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """The ground seen from above on one grid of points."""

    reflectance: np.ndarray
    """float32, axes (band, y, x) in the order of `BANDS`, 0..1, light and shade of the slopes included."""
    water: np.ndarray
    """float32, axes (y, x): fraction of open water."""
    snow: np.ndarray
    """float32, axes (y, x): fraction of late snow."""
    slump: np.ndarray
    """float32, axes (y, x): fraction of thaw slump scar."""

    @property
    def ndvi(self) -> np.ndarray:
        """Normalized difference vegetation index, float32, axes (y, x)."""
        red, nir = self.reflectance[BANDS.index("red")], self.reflectance[BANDS.index("nir")]
        return (nir - red) / (nir + red)


def surface(landscape: Landscape, x: np.ndarray, y: np.ndarray, resolution: float) -> Surface:
    """The surface at world coordinates, as pixels of `resolution` see it.

    Args:
        landscape: the world.
        x: eastings in metres, axes (y, x), inside the landscape.
        y: northings in metres, same shape.
        resolution: size of a pixel in metres: shores and outlines are blurred over that width.
    """
    near = {name: landscape.sample(getattr(landscape, name), x, y) for name in _LAYERS}
    patches = fractal_noise(x, y, 38, 3, landscape.seed + 200)
    regions = fractal_noise(x, y, 700, 4, landscape.seed + 210)
    fine = value_noise(x, y, 9, landscape.seed + 220)
    scar = _within(near["slump"], resolution)
    lake, river = _within(near["lake"], resolution), _within(near["river"], resolution)
    water = np.maximum(lake, river)
    snow = _snow(near, regions, patches) * (1 - water) * (1 - scar)
    color = _tundra(near, regions, patches)
    color = _bare_ground(color, near, patches, regions, fine, resolution)
    color = _slumps(color, near, patches, fine, scar, resolution)
    color = _over(_over(color, "river", river), "lake", lake)
    color = color * (1 + 0.05 * fine * (1 - water))
    color = _over(color, "snow", snow)
    # water is level; a third of the light comes from the sky, not the sun
    light = 0.30 + 0.70 * np.where(water > 0.5, 1, near["shade"])
    color = color * np.clip(light, 0.35, 1.35)
    return Surface(np.clip(color, 0.002, 1).astype(np.float32), water, snow, scar)


_LAYERS = (
    "river",
    "river_width",
    "track",
    "lake",
    "slump",
    "tongue",
    "depth",
    "activity",
    "relief",
    "shade",
)


def _within(distance: np.ndarray, width: float) -> np.ndarray:
    """Cover of what lies at negative distances: 1 inside, 0 outside, a ramp of `width` metres between."""
    return smoothstep(width / 2, -width / 2, distance).astype(np.float32)


def _over(color: np.ndarray, material: str, cover: np.ndarray) -> np.ndarray:
    """`color` (band, y, x) with a material on top of it, `cover` (y, x) from 0 none to 1 all."""
    spectrum = np.array(_SPECTRA[material], np.float32)[:, None, None]
    return color + (spectrum - color) * cover.astype(np.float32)


def _tundra(near: dict[str, np.ndarray], regions: np.ndarray, patches: np.ndarray) -> np.ndarray:
    """Dry heath, sedge where it is wet, shrubs on the valley walls, willows along running water."""
    color = _over(np.zeros((len(BANDS), *regions.shape), np.float32), "dry_tundra", np.ones_like(regions))
    color = _over(color, "lichen", 0.75 * smoothstep(0.05, 0.65, -regions + 0.5 * patches))
    color = _over(color, "sedge", 0.75 * smoothstep(0.0, 0.7, regions + 0.35 * patches))
    color = _over(color, "shrub", 0.9 * smoothstep(0.5, -5, near["relief"] + 2.5 * patches))
    color = _over(color, "willow", 0.8 * smoothstep(26, 4, near["track"] + 14 * patches))
    shore = smoothstep(30, 3, np.abs(near["lake"]) + 20 * patches)
    return _over(color, "sedge", 0.8 * shore)


def _bare_ground(
    color: np.ndarray,
    near: dict[str, np.ndarray],
    patches: np.ndarray,
    regions: np.ndarray,
    fine: np.ndarray,
    resolution: float,
) -> np.ndarray:
    """What a threshold mistakes for a slump: outcrops on the ridges, gravel bars in the flood plain."""
    ridge = smoothstep(4.4, 7.4, near["relief"] + 5 * regions + 3.5 * patches + 0.8 * fine)
    color = _over(color, "rock", 0.97 * ridge)
    bank = near["river_width"] * (0.5 + 2.6 * patches + 0.8 * regions)
    return _over(color, "gravel", _within(near["river"] - bank, resolution + 4) * (0.8 + 0.2 * fine))


def _slumps(
    color: np.ndarray,
    near: dict[str, np.ndarray],
    patches: np.ndarray,
    fine: np.ndarray,
    scar: np.ndarray,
    resolution: float,
) -> np.ndarray:
    """Scars of wet mud, darkest below the headwall, with rafts of turf; silty tongues below them."""
    color = _over(color, "silt", 0.85 * _within(near["tongue"] + 5 * patches, resolution + 3))
    fresh = smoothstep(2, 8, near["depth"]) * near["activity"]
    age = 1 - near["activity"]
    raft = smoothstep(0.25, 0.5, patches + 0.45 * age) * smoothstep(-8, -20, near["slump"]) * (0.3 + age)
    muddy = _over(color, "mud", scar)
    muddy = _over(muddy, "silt", scar * 0.7 * smoothstep(0.05, 0.5, -patches))
    muddy = _over(muddy, "fresh_mud", scar * 0.8 * fresh * smoothstep(-0.6, 0.6, fine + 2 * patches))
    return muddy + (color - muddy) * (0.7 * scar * raft).astype(np.float32)


def _snow(near: dict[str, np.ndarray], regions: np.ndarray, patches: np.ndarray) -> np.ndarray:
    """Late snow in hollows that the sun does not reach."""
    hollow = smoothstep(-3, -9, near["relief"])
    return smoothstep(0.98, 1.08, 1.25 - near["shade"] + 0.3 * patches + 0.5 * regions + 0.25 * hollow)
