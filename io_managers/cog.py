"""Rasters as Cloud-Optimized GeoTIFF: `sr_geotiff`, `segmentation_probabilities`, `ensemble`, `segmentation_mask`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from darts_core.store import Draft, Store, Version
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

        folder, options = ("", {}) if version.store.local else ("/vsis3/", _s3_options(version.store))
        files = [f"{folder}{version.path(name)}" for name in version.manifest.objects if name.endswith(SUFFIX)]
        return read_rasters(files, str(contract), options).assign_attrs(version=version.version)


def _s3_options(store: Store) -> dict[str, str]:
    """How GDAL reaches the store; it finds the credentials where the store does, in the environment or a profile."""
    # without the first, GDAL lists the folder of every file that it opens
    options = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
    if "endpoint_url" in store.options:
        endpoint = urlsplit(store.options["endpoint_url"])
        options |= {
            "AWS_S3_ENDPOINT": endpoint.netloc + endpoint.path.rstrip("/"),
            "AWS_HTTPS": "YES" if endpoint.scheme == "https" else "NO",
            "AWS_VIRTUAL_HOSTING": "FALSE",
        }
    return options
