"""Vector products as GeoParquet: `slump_polygons`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darts_core.store import Draft, Version
from io_managers.base import ProductIOManager

if TYPE_CHECKING:
    import geopandas as gpd

FILE = "slumps.parquet"


class GeoParquetIOManager(ProductIOManager):
    """Stores a `GeoDataFrame` with its schema, also at zero rows."""

    def write(self, draft: Draft, value: gpd.GeoDataFrame, contract: str | None) -> None:
        """Write the frame."""
        from darts_core.vectors.files import write_geoparquet

        write_geoparquet(value, draft.folder / FILE)

    def read(self, version: Version, contract: str | None) -> gpd.GeoDataFrame:
        """The whole frame; polygons of one scene fit into memory."""
        import geopandas as gpd

        frame = gpd.read_parquet(version.path(FILE), filesystem=version.store.fs)
        frame.attrs["version"] = version.version
        return frame
