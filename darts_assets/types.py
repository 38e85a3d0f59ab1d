"""Types of asset inputs for readers and type checkers; importing their packages is left to the work itself."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geopandas import GeoDataFrame
    from xarray import Dataset

    from darts_core.inference.shards import ShardSet
    from io_managers.files import StoredFile
else:
    Dataset = GeoDataFrame = ShardSet = StoredFile = Any

__all__ = ["Dataset", "GeoDataFrame", "ShardSet", "StoredFile"]
