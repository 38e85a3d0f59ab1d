"""Vector products as files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from darts_core.errors import DartsError

if TYPE_CHECKING:
    import geopandas as gpd

LAYER = "slumps"
_STAMP = "2000-01-01T00:00:00Z"
"""GeoPackage records when it was written; a fixed time, so that the same features are the same bytes."""


class VectorFileError(DartsError):
    """A vector file that cannot be read."""


def read_polygons(path: str | os.PathLike[str]) -> gpd.GeoDataFrame:
    """Outlines from GeoJSON, GeoPackage, Shapefile or GeoParquet, without the rows that hold no area.

    Raises:
        VectorFileError: not a readable vector file, or one without CRS.
    """
    import geopandas as gpd

    from darts_core.vectors.cleaning import clean_polygons

    try:
        frame = gpd.read_parquet(path) if Path(path).suffix == ".parquet" else gpd.read_file(path)
    except Exception as error:
        raise VectorFileError(f"{path} is not a vector file that GDAL or GeoParquet can read: {error}") from error
    if frame.crs is None:
        raise VectorFileError(f"{path} has no CRS; set the one its outlines were drawn in")
    return clean_polygons(frame)[0]


def write_geoparquet(frame: gpd.GeoDataFrame, path: str | os.PathLike[str], rows: int | None = None) -> None:
    """Write GeoParquet 1.1 with a bounding box a row, so that readers fetch one region only.

    The same rows give the same bytes. `path` appears, or is replaced, when the file is whole.

    Args:
        rows: of a row group; None leaves it to the writer.
    """
    options = {} if rows is None else {"row_group_size": rows}
    hidden = Path(path).with_name(f".{Path(path).name}.part")
    try:
        frame.to_parquet(
            hidden, index=False, compression="zstd", write_covering_bbox=True, schema_version="1.1.0", **options
        )
        hidden.replace(path)
    finally:
        hidden.unlink(missing_ok=True)


def write_geopackage(frames: gpd.GeoDataFrame | Iterable[gpd.GeoDataFrame], path: str | os.PathLike[str]) -> None:
    """Write the layer `slumps` of a new GeoPackage, all as MultiPolygon, as the format wants one type a layer.

    The same rows give the same bytes.

    Args:
        frames: one frame, or at least one, held one at a time, of the same columns and CRS.
    """
    import geopandas as gpd
    import pyogrio

    Path(path).unlink(missing_ok=True)
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": _STAMP})
    options = {"layer": LAYER, "driver": "GPKG", "promote_to_multi": True, "geometry_type": "MultiPolygon"}
    try:
        for number, frame in enumerate([frames] if isinstance(frames, gpd.GeoDataFrame) else frames):
            pyogrio.write_dataframe(frame, path, append=number > 0, **options)
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})
