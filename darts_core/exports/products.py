"""What can be exported of a scene, and from what."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from darts_core.errors import DartsError

if TYPE_CHECKING:
    import geopandas as gpd
    import xarray as xr

    from darts_core.vectors.polygons import Origin


class Format(StrEnum):
    """What can be exported of a scene; each makes one file, `MODELS` one a model."""

    PROBABILITIES = "probabilities"
    """Probability in percent within the extent; Cloud-Optimized GeoTIFF."""
    BINARIZED = "binarized"
    """Thaw slump or not; Cloud-Optimized GeoTIFF."""
    EXTENT = "extent"
    """Where slumps were looked for; Cloud-Optimized GeoTIFF."""
    MODELS = "models"
    """Probability by each model, beyond the extent too; Cloud-Optimized GeoTIFF."""
    GEOPARQUET = "geoparquet"
    """Slumps as polygons with their attributes."""
    GEOPACKAGE = "geopackage"
    """The same."""
    FOOTPRINT = "footprint"
    """Outline of the scene in WGS 84, with what was found in it; GeoJSON."""
    THUMBNAIL = "thumbnail"
    """True colour with the outlines of slumps; PNG."""
    STAC = "stac"
    """STAC Item that describes the files of the same export."""


STANDARD = (Format.PROBABILITIES, Format.BINARIZED, Format.EXTENT, Format.GEOPARQUET, Format.THUMBNAIL)
"""What is exported where nothing is asked for."""


class ExportError(DartsError):
    """An export that is not known, or that lacks the product it is made from."""


@dataclass(frozen=True, slots=True)
class SceneProducts:
    """What was made of one scene; None where it is not at hand."""

    origin: Origin
    postprocessed: xr.Dataset
    """The product of that name, axes (y, x)."""
    slumps: gpd.GeoDataFrame
    """What `vectorize` made of it."""
    segmented: xr.Dataset | None = None
    """One variable ``probabilities-<model>`` a model, axes (y, x), as in the contract `segmentation`."""
    preprocessed: xr.Dataset | None = None
    """Reflectance, axes (y, x)."""

    def rasters_of(self, one: Format) -> xr.Dataset:
        """The product that an export of rasters is made from.

        Raises:
            ExportError: it is not at hand.
        """
        name = {Format.MODELS: "segmented", Format.THUMBNAIL: "preprocessed"}.get(one, "postprocessed")
        dataset: xr.Dataset | None = getattr(self, name)
        if dataset is None:
            raise ExportError(
                f"{self.origin.scene}: the export {one} is made from the scene's {name} product, received none. "
                "Give it, or leave this export out"
            )
        return dataset
