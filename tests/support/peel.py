"""The Peel Plateau scene with its STAC Item, and what its experts drew."""

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
from rasterio.features import rasterize

KEY = "T08WMA_20210821T210019_sentinel-2"
RASTER = "S2_20210821T210019_20210821T210020_T08WMA.tif"
_COMMON_NAMES = {
    "B2": "blue",
    "B3": "green",
    "B4": "red",
    "B5": "rededge",
    "B6": "rededge",
    "B7": "rededge",
    "B8": "nir",
}


def write_item(folder: Path, raster: Path) -> Path:
    """A folder as a user delivers it: a link to the raster, and the STAC Item that says what is in it."""
    folder.mkdir(parents=True)
    (folder / RASTER).symlink_to(raster)
    bands = [
        {"name": name, "eo:common_name": common, "raster:scale": 1e-4, "raster:offset": 0, "nodata": 0}
        for name, common in _COMMON_NAMES.items()
    ]
    item = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": Path(RASTER).stem,
        "geometry": None,
        "links": [],
        "properties": {
            "datetime": "2021-08-21T21:00:19Z",
            "constellation": "sentinel-2",
            "grid:code": "MGRS-08WMA",
            "processing:level": "L1C",
        },
        "assets": {"image": {"href": f"./{RASTER}", "type": "image/tiff; application=geotiff", "bands": bands}},
    }
    (folder / RASTER).with_suffix(".json").write_text(json.dumps(item))
    return folder


def majority(peel: Path) -> np.ndarray:
    """bool (y, x) on the grid of the scene: True where more than half of the 12 experts drew a slump."""
    with rasterio.open(peel / RASTER) as scene:
        shape, transform, crs = scene.shape, scene.transform, scene.crs
    drawn = [gpd.read_file(path).to_crs(crs).geometry for path in sorted((peel / "experts").glob("*.shp"))]
    votes = sum(rasterize(outlines, out_shape=shape, transform=transform, dtype="uint8") for outlines in drawn)
    return np.asarray(votes > len(drawn) / 2)
