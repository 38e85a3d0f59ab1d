"""Types of asset inputs for readers and type checkers; importing their packages is left to the work itself."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geopandas import GeoDataFrame
    from xarray import Dataset

    from io_managers.files import StoredFile
    from io_managers.shards import StoredShards
else:
    Dataset = GeoDataFrame = StoredFile = StoredShards = Any

__all__ = ["Dataset", "GeoDataFrame", "StoredFile", "StoredShards"]
