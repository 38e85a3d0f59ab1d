"""Draw the picture of the result that README shows, from a home in which the demo ran.

python docs/draw_result.py .darts docs/images/result.jpg
"""

from __future__ import annotations

import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import xarray as xr
from PIL import Image, ImageDraw

from darts_core.inference.geotiff import read_cog
from darts_core.store import Store
from io_managers.base import StoreResource
from io_managers.zarr import ZarrIOManager

SIDE = 460
"""Pixels a side of one panel."""
FOUND, DRAWN = (255, 210, 0), (255, 255, 255)


def main(home: Path, picture: Path) -> None:
    """Three panels: the scene as delivered, the ensemble's probability, and slumps found beside slumps drawn."""
    store = Store(str(home / "products"))
    key = next(key for key in store.partitions("slump_polygons") if key.startswith("T"))
    zarr = ZarrIOManager(store=StoreResource(root=store.root))
    native = zarr.read(store.current("preprocessed", key), "preprocessed")
    finer = read_cog(store.current("sr_geotiff", key).path("raster.tif"), "super_resolved")
    ensemble = read_cog(store.current("ensemble", key).path("raster.tif"), "ensemble")
    found = gpd.read_parquet(store.current("slump_polygons", key).path("slumps.parquet"))
    drawn = gpd.read_file(home / "demo-world" / "truth.geojson").to_crs(finer.rio.crs)
    outlined = rgb(finer)
    outline(outlined, drawn, finer, DRAWN)
    outline(outlined, found, finer, FOUND)
    panels = [rgb(native), heat(ensemble["probabilities"]), outlined]
    sheet = Image.new("RGB", (len(panels) * SIDE + (len(panels) - 1) * 10, SIDE), "white")
    for place, panel in enumerate(panels):
        sheet.paste(panel, (place * (SIDE + 10), 0))
    picture.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(picture, quality=90)


def rgb(dataset: xr.Dataset) -> Image.Image:
    """True colour; nodata is black."""
    values = np.stack([dataset[band].values for band in ("red", "green", "blue")], axis=-1)
    stretched = np.nan_to_num((values - 0.01) / 0.24).clip(0, 1) ** 0.8 * 255
    return Image.fromarray(stretched.astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def heat(probabilities: xr.DataArray) -> Image.Image:
    """Probability from black over red to yellow."""
    p = np.nan_to_num(probabilities.values)
    colours = np.stack([np.sqrt(p), p**2, 0.3 * p], axis=-1) * 255
    return Image.fromarray(colours.astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def outline(image: Image.Image, frame: gpd.GeoDataFrame, like: xr.Dataset, colour: tuple[int, int, int]) -> None:
    """Draw the outer rings of polygons that lie on the grid of `like`."""
    left, bottom, right, top = like.rio.bounds()
    draw = ImageDraw.Draw(image)
    for polygon in frame.geometry.explode(index_parts=False):
        ring = [
            ((x - left) / (right - left) * SIDE, (top - y) / (top - bottom) * SIDE) for x, y in polygon.exterior.coords
        ]
        draw.line(ring, fill=colour, width=2)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
