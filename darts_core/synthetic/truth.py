"""The truth of the synthetic world: the outlines of its thaw slumps."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
from shapely.geometry import box

from darts_core.synthetic.grid import CRS, Bounds, SyntheticError
from darts_core.synthetic.landscape import Landscape

_DRIVERS = {".geojson": "GeoJSON", ".gpkg": "GPKG"}


def slump_outlines(landscape: Landscape, bounds: Bounds) -> gpd.GeoDataFrame:
    """Whole outlines of the slumps that touch `bounds`, in EPSG:32608, with `id` and `area_m2`; may be empty."""
    area = box(*bounds)
    found = [slump for slump in landscape.slumps if slump.outline.intersects(area)]
    return gpd.GeoDataFrame(
        {"id": [slump.id for slump in found], "area_m2": [round(slump.outline.area, 1) for slump in found]},
        geometry=[slump.outline for slump in found],
        crs=CRS,
    )


def write_truth(path: Path, landscape: Landscape, bounds: Bounds) -> Path:
    """Write the outlines of the slumps in an area.

    Args:
        path: the suffix chooses the format: `.geojson` (EPSG:4326, as RFC 7946 asks) or `.gpkg` (EPSG:32608; it
            carries the time of writing, so that its bytes differ from run to run).
        landscape: the world.
        bounds: west, south, east, north in metres of EPSG:32608.

    Returns:
        `path`.

    Raises:
        SyntheticError: an unknown suffix, or bounds outside the landscape.
    """
    if path.suffix not in _DRIVERS:
        raise SyntheticError(f"Expected truth as one of {', '.join(_DRIVERS)}, received {path}")
    landscape.require(bounds, "The truth")
    outlines = slump_outlines(landscape, bounds)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if path.suffix == ".geojson":
        outlines.to_crs("EPSG:4326").to_file(path, driver="GeoJSON", engine="pyogrio", COORDINATE_PRECISION=8)
    else:
        outlines.to_file(path, driver="GPKG", engine="pyogrio")
    return path
