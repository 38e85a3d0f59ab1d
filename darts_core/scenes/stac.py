"""The STAC Item of a scene."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pystac
import shapely
from pyproj import Transformer
from shapely import Polygon, box, union_all
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry

from darts_core.grids import Grid
from darts_core.scenes.scene import Scene

_EXTENSIONS = (
    "https://stac-extensions.github.io/eo/v2.0.0/schema.json",
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
)
_MEDIA_TYPES = {".jp2": pystac.MediaType.JPEG2000, ".zip": "application/zip"}
_POINTS_A_SIDE = 6


def stac_item(
    scene: Scene,
    grid: Grid,
    properties: Mapping[str, Any],
    bands: Mapping[str, Sequence[Mapping[str, Any]]],
) -> dict[str, Any]:
    """A STAC 1.1 Item as a JSON object.

    Args:
        properties: beyond those that follow from the scene and its grid.
        bands: href to what is known about each band that was read from it.
    """
    geometry, bbox = footprint(grid)
    code = grid.crs.to_authority()
    own = {
        "proj:code": ":".join(code) if code else None,
        **({} if code else {"proj:wkt2": grid.crs.to_wkt()}),
        "proj:shape": list(grid.shape),
        "proj:transform": list(grid.transform)[:6],
        "platform": properties.get("platform") or _platform(scene),
        **({"gsd": round(max(grid.metres()), 3)} if grid.crs.is_projected else {}),
    }
    item = pystac.Item(
        scene.product_id,
        json.loads(shapely.to_geojson(geometry)),
        bbox,
        scene.acquired,
        {**properties, **own},
        stac_extensions=list(_EXTENSIONS),
    )
    for href, described in bands.items():
        media_type = _MEDIA_TYPES.get(posixpath.splitext(href)[1].lower(), pystac.MediaType.GEOTIFF)
        asset = pystac.Asset(href, media_type=media_type, roles=["data"], extra_fields={"bands": list(described)})
        item.add_asset("_".join(str(band["name"]) for band in described), asset)
    return item.to_dict(include_self_link=False, transform_hrefs=False)


def _platform(scene: Scene) -> str:
    if scene.reader == "sentinel2":
        return f"sentinel-2{scene.sensor[-1].lower()}"
    return f"planetscope-{scene.sensor[2:].lower()}" if scene.reader == "planet" else scene.sensor


def footprint(grid: Grid) -> tuple[BaseGeometry, list[float]]:
    """Outline of a grid in WGS 84 degrees and its bounding box (west, south, east, north).

    Where the grid crosses the antimeridian the outline is in two parts, and west is larger than east, as RFC 7946
    has it (sections 3.1.9 and 5.2).
    """
    steps = np.linspace(0, 1, _POINTS_A_SIDE)[:-1]
    columns = np.concatenate([steps, np.ones_like(steps), 1 - steps, np.zeros_like(steps)]) * grid.width
    rows = np.concatenate([np.zeros_like(steps), steps, np.ones_like(steps), 1 - steps]) * grid.height
    to_degrees = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
    a, b, left, d, e, top = tuple(grid.transform)[:6]
    longitude, latitude = to_degrees.transform(a * columns + b * rows + left, d * columns + e * rows + top)
    if np.ptp(longitude) <= 180:
        outline = shapely.orient_polygons(Polygon(np.column_stack([longitude, latitude])))
        return outline, list(outline.bounds)
    unrolled = Polygon(np.column_stack([np.where(longitude < 0, longitude + 360, longitude), latitude]))
    west, south, east, north = unrolled.bounds
    halves = [
        unrolled.intersection(box(-180, -90, 180, 90)),
        translate(unrolled.intersection(box(180, -90, 540, 90)), -360),
    ]
    return shapely.orient_polygons(union_all(halves)), [west, south, east - 360, north]
