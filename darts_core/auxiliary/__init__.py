"""Auxiliary data of a scene: elevation and tasselled-cap trends, from local or remote rasters.

A raster is anything GDAL opens (a GeoTIFF, a VRT over many, ``https://``, ``s3://``, ``/vsizip/…``), a Zarr store, or
many of these side by side. It is warped straight onto the scene's grid, block by block as dask asks for it, so only
the window that is needed is ever read. Nothing heavy is imported before a raster is opened.
"""

from darts_core.auxiliary.cache import Cache
from darts_core.auxiliary.choosing import choose_sources
from darts_core.auxiliary.identity import fingerprint
from darts_core.auxiliary.reading import read_dem, read_trends
from darts_core.auxiliary.sources import AuxiliaryError, AuxiliarySources, dem_resolution, trend_epoch

__all__ = [
    "AuxiliaryError",
    "AuxiliarySources",
    "Cache",
    "choose_sources",
    "dem_resolution",
    "fingerprint",
    "read_dem",
    "read_trends",
    "trend_epoch",
]
