"""Vector products as files, and the STAC Collection that describes a release."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darts_core.errors import DartsError

if TYPE_CHECKING:
    import geopandas as gpd

LAYER = "slumps"
_STAMP = "2000-01-01T00:00:00Z"
"""GeoPackage records when it was written; a fixed time, so that the same features are the same bytes."""

ARCTIC = (-180.0, 50.0, 180.0, 90.0)
"""West, south, east, north of a release without features, degrees."""


class ReleaseFileError(DartsError):
    """A release that cannot be described or written."""


def read_polygons(path: str | os.PathLike[str]) -> gpd.GeoDataFrame:
    """Outlines from GeoJSON, GeoPackage, Shapefile or GeoParquet, without the rows that hold no area.

    Raises:
        ReleaseFileError: not a readable vector file, or one without CRS.
    """
    import geopandas as gpd

    from darts_core.vectors.release import clean_polygons

    try:
        frame = gpd.read_parquet(path) if Path(path).suffix == ".parquet" else gpd.read_file(path)
    except Exception as error:
        raise ReleaseFileError(f"{path} is not a vector file that GDAL or GeoParquet can read: {error}") from error
    if frame.crs is None:
        raise ReleaseFileError(f"{path} has no CRS; set the one its outlines were drawn in")
    return clean_polygons(frame)[0]


def write_geoparquet(frame: gpd.GeoDataFrame, path: str | os.PathLike[str]) -> None:
    """Write GeoParquet 1.1 with a bounding box a row, so that readers fetch one region only.

    The same rows give the same bytes.
    """
    frame.to_parquet(path, index=False, compression="zstd", write_covering_bbox=True, schema_version="1.1.0")


def write_geopackage(frame: gpd.GeoDataFrame, path: str | os.PathLike[str]) -> None:
    """Write the layer `slumps` of a new GeoPackage, all as MultiPolygon, as the format wants one type a layer.

    The same rows give the same bytes.
    """
    import pyogrio

    Path(path).unlink(missing_ok=True)
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": _STAMP})
    try:
        pyogrio.write_dataframe(
            frame, path, layer=LAYER, driver="GPKG", promote_to_multi=True, geometry_type="MultiPolygon"
        )
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


def collection(frame: gpd.GeoDataFrame, season: str) -> dict[str, Any]:
    """A STAC Collection of a release whose files lie beside it: ``slumps.parquet`` and ``slumps.gpkg``.

    Args:
        frame: a release, columns as in `RELEASE_SCHEMA`.
        season: the year, four digits.

    Raises:
        ReleaseFileError: not a year.
    """
    import pystac

    described = pystac.Collection(
        id=f"thaw-slumps-{season}",
        title=f"Retrogressive thaw slumps of the Arctic, {season}",
        description=f"{len(frame)} retrogressive thaw slumps detected in satellite scenes of {season}, "
        "merged over scenes and tiles.",
        extent=pystac.Extent(pystac.SpatialExtent([_bounds(frame)]), pystac.TemporalExtent([_interval(frame, season)])),
        license="other",
        keywords=["permafrost", "retrogressive thaw slump", "Arctic"],
        summaries=pystac.Summaries({"slumps": [len(frame)]}),
    )
    media = {"slumps.parquet": "application/vnd.apache.parquet", "slumps.gpkg": pystac.MediaType.GEOPACKAGE}
    for name, kind in media.items():
        described.add_asset(name.rpartition(".")[2], pystac.Asset(f"./{name}", media_type=kind, roles=["data"]))
    return described.to_dict(include_self_link=False)


def _bounds(frame: gpd.GeoDataFrame) -> list[float]:
    """West, south, east, north in degrees; west of a release across the antimeridian is greater than east."""
    from pyproj import Transformer

    if frame.empty:
        return list(ARCTIC)
    west, south, east, north = frame.total_bounds
    transformer = Transformer.from_crs(frame.crs, "EPSG:4326", always_xy=True)
    bounds = transformer.transform_bounds(west, south, east, north, densify_pts=101)
    return [round(value, 6) for value in bounds]


def _interval(frame: gpd.GeoDataFrame, season: str) -> list[datetime | None]:
    if not (len(season) == 4 and season.isdigit()):
        raise ReleaseFileError(f"Expected a season as a year of four digits, received {season!r}")
    if frame.empty:
        return [datetime(int(season), 1, 1, tzinfo=UTC), datetime(int(season), 12, 31, 23, 59, 59, tzinfo=UTC)]
    return [frame["first_seen"].min().to_pydatetime(), frame["last_seen"].max().to_pydatetime()]
