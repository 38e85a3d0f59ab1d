"""Rasters as Cloud-Optimized GeoTIFF: `sr_geotiff`, `segmentation_probabilities`, `ensemble`, `segmentation_mask`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from darts_core.store import Draft, Version
from io_managers.base import ProductIOManager

if TYPE_CHECKING:
    import xarray as xr

    from darts_core.inference.geotiff import RasterStream

SUFFIX = ".tif"
SINGLE = "raster"


class CogIOManager(ProductIOManager):
    """Stores one raster, or one a name; blocks go from the step into the file as they are finished."""

    def write(
        self, draft: Draft, value: RasterStream | Mapping[str, RasterStream | Version], contract: str | None
    ) -> None:
        """Write each raster; one that is given as an earlier version is taken over from it unchanged."""
        from darts_core.inference.geotiff import write_cog

        rasters = value if isinstance(value, Mapping) else {SINGLE: value}
        done = draft.published()
        for name, raster in rasters.items():
            file = f"{name}{SUFFIX}"
            if file in done:
                continue
            if isinstance(raster, Version):
                draft.adopt(raster, file)
            else:
                write_cog(raster, draft.folder / file)
                draft.publish(file)

    def read(self, version: Version, contract: str | None) -> xr.Dataset:
        """All rasters of the product as one lazy dataset, in memory form, on the finest grid among them."""
        from darts_core.files import read_rasters
        from darts_core.remote import gdal_options, gdal_path

        files = [gdal_path(version.url(name)) for name in version.manifest.objects if name.endswith(SUFFIX)]
        # credentials it finds where the store does, in the environment or a profile
        options = gdal_options(version.url(), version.store.options)
        return read_rasters(files, str(contract), options).assign_attrs(version=version.version)
