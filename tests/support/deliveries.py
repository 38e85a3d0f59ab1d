"""Small deliveries in the open format (a GeoTIFF and its STAC Item), as they should be and as they should not."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

BANDS = ("blue", "green", "red", "nir")
_SIZE = 64


def write_delivery(folder: Path, tile: str, *, bands: Sequence[str] = BANDS, crs: str | None = "EPSG:32608") -> Path:
    """Write `<tile>.tif`, random reflectance at 3 m, and `<tile>.json`; the raster's path."""
    folder.mkdir(parents=True, exist_ok=True)
    raster = folder / f"{tile}.tif"
    numbers = np.random.default_rng(len(tile)).integers(500, 3000, (len(bands), _SIZE, _SIZE), dtype=np.uint16)
    profile = {"width": _SIZE, "height": _SIZE, "count": len(bands), "dtype": "uint16", "nodata": 0, "crs": crs}
    with rasterio.open(raster, "w", "GTiff", transform=from_origin(500000, 7500000, 3, 3), **profile) as target:
        target.write(numbers)
    raster.with_suffix(".json").write_text(json.dumps(_item(raster.name, tile, bands)))
    return raster


def write_raster(
    path: Path,
    values: np.ndarray,
    names: Sequence[str | None] = (),
    *,
    scale: float | None = None,
    offset: float = 0.0,
    **profile: object,
) -> Path:
    """A GeoTIFF of `values` (bands, y, x) at 10 m, described as told."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = dict(zip(("count", "height", "width"), values.shape, strict=True))
    place = {"crs": "EPSG:32631", "transform": from_origin(500000, 5700000, 10, 10)}
    with rasterio.open(path, "w", **{"driver": "GTiff", "dtype": values.dtype, **shape, **place, **profile}) as target:
        target.write(values)
        for number, name in enumerate(names, start=1):
            if name is not None:
                target.set_band_description(number, name)
        if scale is not None:
            target.scales, target.offsets = (scale,) * len(values), (offset,) * len(values)
    return path


def key_of(tile: str) -> str:
    """The partition key of a delivery."""
    return f"{tile}_20210821T210019_made-up"


def truncate(raster: Path) -> Path:
    """Cut off the second half of a file, as an interrupted copy does."""
    content = raster.read_bytes()
    raster.write_bytes(content[: len(content) // 2])
    return raster


def _item(raster: str, tile: str, bands: Sequence[str]) -> dict[str, object]:
    described = [{"name": name, "raster:scale": 1e-4, "raster:offset": 0} for name in bands]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": tile,
        "geometry": None,
        "links": [],
        "properties": {"datetime": "2021-08-21T21:00:19Z", "platform": "made-up", "grid:code": tile},
        "assets": {"image": {"href": f"./{raster}", "bands": described}},
    }
