"""Synthetic PlanetScope orders: a clipped 4-band scene with its usable data mask, as Planet delivers them."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.warp import transform_geom

from darts_core.synthetic.grid import CRS, Bounds, Grid, SyntheticError
from darts_core.synthetic.landscape import SUN_AZIMUTH, SUN_ELEVATION, Landscape
from darts_core.synthetic.observation import Sky, observe, outside_swath, sky
from darts_core.synthetic.rasters import GEOTIFF, transform_of, write_raster
from darts_core.synthetic.surface import BANDS, Surface, surface

PIXEL = 3.0
"""Size of a pixel, metres."""
UDM2_BANDS = (
    "clear",
    "snow",
    "shadow",
    "light_haze",
    "heavy_haze",
    "cloud",
    "confidence",
    "unusable_pixels",
)
"""Source: Planet, usable data mask specification (UDM2)."""
_SPECTRAL = ("blue", "green", "red", "nir")
_NOISE = 0.003
_BLACKFILL = 1


def write_planet_order(
    folder: Path,
    landscape: Landscape,
    bounds: Bounds,
    acquired: datetime,
    seed: int,
    cloud_cover: float = 0.03,
    missing_corner: float = 0.15,
) -> Path:
    """Write an order of one PlanetScope item, nested in a folder of its own.

    `<id>/<id>_3B_AnalyticMS_SR_clip.tif` is surface reflectance * 10000, uint16, blue green red nir, 3 m, nodata 0;
    `<id>/<id>_3B_udm2_clip.tif` the usable data mask, uint8, `UDM2_BANDS`; `<id>/<id>_metadata.json` the item;
    `manifest.json` every file with its size and digests.

    Args:
        folder: the order's folder; made if missing. Files of the same name are written over.
        landscape: what is seen.
        bounds: west, south, east, north in metres of EPSG:32608, multiples of 3 m apart.
        acquired: moment of the acquisition, with a time zone.
        seed: of clouds and noise; also the satellite's number.
        cloud_cover: share of the scene below clouds, 0..1, roughly kept.
        missing_corner: share of the sides that the corner without data takes, 0 for none.

    Returns:
        The order's folder.

    Raises:
        SyntheticError: bounds outside the landscape or not of whole pixels, or a time without a zone.
    """
    if acquired.tzinfo is None:
        raise SyntheticError(f"Expected an acquisition time with a time zone, received {acquired.isoformat()}")
    moment = acquired.astimezone(UTC)
    item = f"{moment:%Y%m%d_%H%M%S}_{moment.microsecond // 10_000:02}_24{seed % 256:02x}"
    landscape.require(bounds, f"The Planet scene {item}")
    grid = Grid.of(bounds, PIXEL)
    x, y = grid.centers()
    ground = surface(landscape, x, y, PIXEL)
    above = sky(grid, cloud_cover, seed)
    missing = outside_swath(x, y, bounds, missing_corner)
    seen = observe(ground.reflectance, above, _NOISE, np.random.default_rng([seed, 3]))
    mask = _usable_data_mask(ground, above, missing)
    place = folder / item
    scene = place / f"{item}_3B_AnalyticMS_SR_clip.tif"
    udm2 = place / f"{item}_3B_udm2_clip.tif"
    numbers, options = _digital_numbers(seen, missing), {**GEOTIFF, "predictor": 2, "interleave": "pixel"}
    write_raster(scene, numbers, CRS, transform_of(grid), options, nodata=0, names=_SPECTRAL)
    write_raster(udm2, mask, CRS, transform_of(grid), options, names=UDM2_BANDS)
    described = place / f"{item}_metadata.json"
    described.write_text(json.dumps(_item(item, moment, bounds, mask), indent=2), encoding="utf-8")
    manifest = _manifest(folder, item, {scene: "image/tiff", udm2: "image/tiff", described: "application/json"})
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2), encoding="utf-8")
    return folder


def _digital_numbers(seen: np.ndarray, missing: np.ndarray) -> np.ndarray:
    bands = seen[[BANDS.index(name) for name in _SPECTRAL]]
    return np.where(missing, 0, np.clip(np.rint(bands * 10_000), 1, 65535)).astype(np.uint16)


def _usable_data_mask(ground: Surface, above: Sky, missing: np.ndarray) -> np.ndarray:
    """UDM2: uint8, axes (band, y, x); exactly one of the first six bands is 1 where there is data."""
    cloud = above.cloud > 0.5
    heavy = (above.cloud > 0.3) & ~cloud
    light = (above.cloud > 0.12) & ~cloud & ~heavy
    hidden = cloud | heavy | light
    shadow = (above.shadow > 0.4) & ~hidden
    snow = (ground.snow > 0.5) & ~hidden & ~shadow
    clear = ~(hidden | shadow | snow)
    kinds = np.stack([clear, snow, shadow, light, heavy, cloud])
    confidence = np.where(cloud | clear, 92, 71)
    layers = [*np.where(missing, 0, kinds), np.where(missing, 0, confidence), missing * _BLACKFILL]
    return np.stack(layers).astype(np.uint8)


def _item(item: str, moment: datetime, bounds: Bounds, mask: np.ndarray) -> dict[str, Any]:
    west, south, east, north = bounds
    ring = [(west, north), (west, south), (east, south), (east, north), (west, north)]
    share = {name: float(mask[index].mean()) for index, name in enumerate(UDM2_BANDS)}
    when = f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"
    return {
        "id": item,
        "type": "Feature",
        "geometry": transform_geom(CRS, "EPSG:4326", {"type": "Polygon", "coordinates": [ring]}, precision=8),
        "properties": {
            "acquired": when,
            "clear_percent": round(100 * share["clear"]),
            "cloud_cover": round(share["cloud"], 4),
            "cloud_percent": round(100 * share["cloud"]),
            "epsg_code": int(CRS.removeprefix("EPSG:")),
            "gsd": 3.8,
            "ground_control": True,
            "heavy_haze_percent": round(100 * share["heavy_haze"]),
            "instrument": "PSB.SD",
            "item_type": "PSScene",
            "light_haze_percent": round(100 * share["light_haze"]),
            "pixel_resolution": PIXEL,
            "provider": "planetscope",
            "published": when,
            "publishing_stage": "finalized",
            "quality_category": "standard",
            "satellite_id": item.rsplit("_", 1)[1],
            "shadow_percent": round(100 * share["shadow"]),
            "snow_ice_percent": round(100 * share["snow"]),
            "strip_id": "6700001",
            "sun_azimuth": SUN_AZIMUTH,
            "sun_elevation": SUN_ELEVATION,
            "updated": when,
            "view_angle": 3.1,
        },
    }


def _manifest(folder: Path, item: str, kinds: dict[Path, str]) -> dict[str, Any]:
    files = []
    for path, kind in kinds.items():
        content = path.read_bytes()
        digests = {
            "md5": hashlib.md5(content, usedforsecurity=False).hexdigest(),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        files.append(
            {
                "path": path.relative_to(folder).as_posix(),
                "media_type": kind,
                "size": len(content),
                "digests": digests,
                "annotations": {"planet/item_id": item, "planet/item_type": "PSScene"},
            }
        )
    return {"name": "", "files": files}
