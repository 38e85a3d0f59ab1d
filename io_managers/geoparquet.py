"""Vector products as GeoParquet: `slump_polygons` and the release `slump_dataset`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from darts_core.store import Draft, Version
from io_managers.base import ProductIOManager

if TYPE_CHECKING:
    import geopandas as gpd

FILE = "slumps.parquet"


class GeoParquetIOManager(ProductIOManager):
    """Stores a `GeoDataFrame` with its schema, also at zero rows."""

    def write(self, draft: Draft, value: gpd.GeoDataFrame, contract: str | None) -> None:
        """Write the frame; a release also as GeoPackage, with the STAC Collection that describes it."""
        from darts_core.vectors.files import collection, write_geopackage, write_geoparquet

        write_geoparquet(value, draft.folder / FILE)
        if contract == "release":
            write_geopackage(value, draft.folder / "slumps.gpkg")
            described = collection(value, season=draft.partition)
            (draft.folder / "collection.json").write_text(json.dumps(described, indent=1, sort_keys=True))

    def read(self, version: Version, contract: str | None) -> gpd.GeoDataFrame:
        """The whole frame; polygons of one scene or season fit into memory."""
        import geopandas as gpd

        frame = gpd.read_parquet(version.path(FILE), filesystem=version.store.fs)
        frame.attrs["version"] = version.version
        return frame
