"""Synthetic Sentinel-2 scenes: `.SAFE` folders with JPEG 2000 bands, levels 1C and 2A, baseline 05.09."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

import numpy as np
from rasterio.warp import transform as reproject_points

from darts_core.synthetic.grid import CRS, Bounds, Grid, SyntheticError
from darts_core.synthetic.landscape import Landscape
from darts_core.synthetic.observation import Sky, observe, outside_swath, sky
from darts_core.synthetic.rasters import JPEG2000, transform_of, write_raster
from darts_core.synthetic.safe_metadata import (
    OFFSET,
    QUANTIFICATION,
    Coverage,
    SafeProduct,
    manifest_xml,
    product_xml,
    tile_xml,
)
from darts_core.synthetic.surface import BANDS, Surface, surface

_FILES: Mapping[int, Mapping[str, Mapping[str, float]]] = MappingProxyType(
    {
        10: {"B02": {"blue": 1}, "B03": {"green": 1}, "B04": {"red": 1}, "B08": {"nir": 1}},
        20: {
            "B05": {"rededge": 1},
            "B06": {"rededge": 0.4, "nir": 0.6},
            "B07": {"rededge": 0.1, "nir": 0.9},
            "B8A": {"nir": 1},
            "B11": {"swir": 1},
            "B12": {"swir": 0.7},
        },
    }
)
"""Spectral bands by resolution, and the synthetic bands that each one is made of, by weight."""
_NOISE = 0.0015
_SHADOW, _VEGETATION, _BARE, _WATER, _MEDIUM_CLOUD, _CLOUD, _SNOW = 3, 4, 5, 6, 8, 9, 11
_PATH_REFLECTANCE = (0.062, 0.034, 0.017, 0.012, 0.006, 0.001)
_TRANSMITTANCE = (0.86, 0.89, 0.92, 0.93, 0.95, 0.96)
"""A clear Arctic atmosphere at a sun height of 33 degrees, per band of `BANDS`: what makes L1C of L2A."""


class Level(StrEnum):
    """Processing level of a Sentinel-2 product."""

    L1C = "L1C"
    """Top-of-atmosphere reflectance."""
    L2A = "L2A"
    """Surface reflectance with a scene classification."""


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """One scene at one resolution; all arrays on `grid`."""

    grid: Grid
    reflectance: np.ndarray
    ground: Surface
    above: Sky
    missing: np.ndarray


def write_sentinel2_safe(
    folder: Path,
    landscape: Landscape,
    bounds: Bounds,
    acquired: datetime,
    seed: int,
    level: Level | str = Level.L2A,
    cloud_cover: float = 0.05,
    missing_corner: float = 0.18,
) -> Path:
    """Write one Sentinel-2 scene.

    The folder has the official names and layout. It holds digital numbers (reflectance * 10000 + 1000, 0 nodata),
    uint16, lossless: B02 B03 B04 B08 at 10 m, B05 B06 B07 B8A B11 B12 at 20 m, the true colour image, and for L2A
    also AOT and WVP at 10 m and the scene classification SCL (uint8) at 20 m. The granule is the stretch of the tile
    in `bounds`.

    Args:
        folder: where the `.SAFE` folder goes; made if missing. A product of the same name is written over.
        landscape: what is seen.
        bounds: west, south, east, north in metres of EPSG:32608, multiples of 20 m apart.
        acquired: start of the datatake, with a time zone.
        seed: of clouds and noise.
        level: "L2A" or "L1C".
        cloud_cover: share of the scene below clouds, 0..1, roughly kept.
        missing_corner: where the swath ends: share of the sides that the corner without data takes, 0 for none.

    Returns:
        The `.SAFE` folder.

    Raises:
        SyntheticError: bounds outside the landscape or not of whole pixels, or a time without a zone.
        ValueError: an unknown level.
    """
    if acquired.tzinfo is None:
        raise SyntheticError(f"Expected an acquisition time with a time zone, received {acquired.isoformat()}")
    moment = acquired.astimezone(UTC)
    product = SafeProduct(Level(level).value, moment, moment + timedelta(hours=4, minutes=7))
    landscape.require(bounds, f"The Sentinel-2 scene {product.name}")
    looks = {
        resolution: _look(landscape, Grid.of(bounds, resolution), seed, cloud_cover, missing_corner)
        for resolution in (20, 10)
    }
    safe = folder / product.name
    images = _write_images(safe, product, looks)
    coverage = _coverage(looks[10])
    _write_metadata(safe, product, looks, images, coverage)
    return safe


def _look(landscape: Landscape, grid: Grid, seed: int, cover: float, corner: float) -> _Look:
    x, y = grid.centers()
    ground = surface(landscape, x, y, grid.spacing)
    above = sky(grid, cover, seed)
    rng = np.random.default_rng([seed, int(grid.spacing)])
    seen = observe(ground.reflectance, above, _NOISE, rng)
    return _Look(grid, seen, ground, above, outside_swath(x, y, grid.bounds, corner))


def _write_images(safe: Path, product: SafeProduct, looks: dict[int, _Look]) -> list[Path]:
    written = []
    for resolution, names in _FILES.items():
        look = looks[resolution]
        for name, weights in names.items():
            numbers = _digital_numbers(look, weights, product.level)
            written.append(_image(safe, product, name, resolution, numbers[None], look.grid))
    look = looks[10]
    written.append(_image(safe, product, "TCI", 10, _true_color(look), look.grid))
    if product.level == Level.L2A:
        haze = np.where(look.missing, 0, 61 + 12 * look.above.cloud).astype(np.uint16)
        vapour = np.where(look.missing, 0, 1310 + 90 * look.above.cloud).astype(np.uint16)
        written.append(_image(safe, product, "AOT", 10, haze[None], look.grid))
        written.append(_image(safe, product, "WVP", 10, vapour[None], look.grid))
        classes = scene_classification(looks[20].ground, looks[20].above, looks[20].missing)
        written.append(_image(safe, product, "SCL", 20, classes[None], looks[20].grid))
    return sorted(written)


def _digital_numbers(look: _Look, weights: Mapping[str, float], level: str) -> np.ndarray:
    reflectance = np.zeros(look.missing.shape, np.float32)
    for name, weight in weights.items():
        band = BANDS.index(name)
        seen = look.reflectance[band]
        if level == Level.L1C:
            seen = _PATH_REFLECTANCE[band] + _TRANSMITTANCE[band] * seen
        reflectance += weight * seen
    numbers = np.clip(np.rint(reflectance * QUANTIFICATION - OFFSET), 1, 65534)
    return np.where(look.missing, 0, numbers).astype(np.uint16)


def _true_color(look: _Look) -> np.ndarray:
    bands = look.reflectance[[BANDS.index(name) for name in ("red", "green", "blue")]]
    # the specification's stretch: reflectance 0 .. 0.3558 to 1 .. 255
    return np.where(look.missing, 0, np.clip(bands * 254 / 0.3558 + 1, 1, 255)).astype(np.uint8)


def scene_classification(ground: Surface, above: Sky, missing: np.ndarray) -> np.ndarray:
    """The classes of Sen2Cor's SCL: uint8, axes (y, x), 0 nodata.

    3 cloud shadow, 4 vegetation, 5 not vegetated, 6 water, 8 and 9 cloud of medium and high probability, 11 snow.
    """
    classes = np.where(ground.ndvi > 0.35, _VEGETATION, _BARE)
    classes[ground.water > 0.5] = _WATER
    classes[ground.snow > 0.5] = _SNOW
    classes[above.shadow > 0.4] = _SHADOW
    classes[above.cloud > 0.15] = _MEDIUM_CLOUD
    classes[above.cloud > 0.5] = _CLOUD
    classes[missing] = 0
    return classes.astype(np.uint8)


def _image(safe: Path, product: SafeProduct, name: str, resolution: int, pixels: np.ndarray, grid: Grid) -> Path:
    images = safe / "GRANULE" / product.granule / "IMG_DATA"
    path = images / f"{product.image_stem}_{name}.jp2"
    if product.level == Level.L2A:
        path = images / f"R{resolution}m" / f"{product.image_stem}_{name}_{resolution}m.jp2"
    return write_raster(path, pixels, CRS, transform_of(grid), JPEG2000)


def _coverage(look: _Look) -> Coverage:
    kept = ~look.missing

    def percent(mask: np.ndarray) -> float:
        return 100.0 * float(mask[kept].mean()) if kept.any() else 0.0

    return Coverage(
        percent(look.above.cloud > 0.15),
        100.0 * float(look.missing.mean()),
        percent(look.ground.water > 0.5),
        percent(look.ground.snow > 0.5),
    )


def _write_metadata(
    safe: Path, product: SafeProduct, looks: dict[int, _Look], images: list[Path], coverage: Coverage
) -> None:
    names = [image.relative_to(safe).with_suffix("").as_posix() for image in images]
    grids = {resolution: looks[resolution].grid for resolution in sorted(looks)}
    described = safe / f"MTD_MSI{product.level}.xml"
    tile = safe / "GRANULE" / product.granule / "MTD_TL.xml"
    described.write_text(product_xml(product, names, _footprint(grids[10].bounds), coverage), encoding="utf-8")
    tile.write_text(tile_xml(product, grids, coverage), encoding="utf-8")
    manifest = manifest_xml(product, safe, [described, tile, *images])
    (safe / "manifest.safe").write_text(manifest, encoding="utf-8")


def _footprint(bounds: Bounds) -> str:
    west, south, east, north = bounds
    longitude, latitude = reproject_points(
        CRS, "EPSG:4326", [west, east, east, west, west], [north, north, south, south, north]
    )
    return " ".join(f"{lat:.8f} {lon:.8f}" for lat, lon in zip(latitude, longitude, strict=True))
