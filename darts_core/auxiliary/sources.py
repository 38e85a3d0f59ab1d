"""Where auxiliary data lies, and how it is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from darts_core.errors import DartsError

if TYPE_CHECKING:
    from rasterio.io import DatasetReader


class AuxiliaryError(DartsError):
    """Auxiliary data that cannot be opened, does not cover the scene or has unexpected bands."""


@dataclass(frozen=True, slots=True)
class AuxiliarySources:
    """Where the auxiliary data lies; None: that feature is not made."""

    dem: str | None = None
    """Elevation in metres, one band, with declared nodata."""
    trends: str | None = None
    """Tasselled-cap trends, uint8; band descriptions name the bands."""


def open_raster(url: str) -> DatasetReader:
    """Open a raster that says where it lies.

    Raises:
        AuxiliaryError: it cannot be opened, or has no CRS.
    """
    import rasterio

    try:
        raster = rasterio.open(url)
    except rasterio.errors.RasterioIOError as error:
        raise AuxiliaryError(
            f"Auxiliary raster {url} cannot be opened ({error}). Check the address in the auxiliary resource, "
            "or set it to null to work without this feature"
        ) from error
    if raster.crs is None:
        raster.close()
        raise AuxiliaryError(f"Auxiliary raster {url} has no CRS; assign the one it was made in")
    return raster


def name_of(url: str) -> str:
    """The last part of a URL."""
    return url.rsplit("/", 1)[-1]
