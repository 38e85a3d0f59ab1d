"""Elevation and trends that preprocessing draws on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

if TYPE_CHECKING:
    from darts_core.auxiliary import AuxiliarySources


class AuxiliaryData(dg.ConfigurableResource):
    """Rasters that cover all scenes; without one, the features made from it are left out."""

    dem: str | None = Field(None, description="Elevation in metres: GeoTIFF or VRT, local or remote")
    trends: str | None = Field(None, description="Tasselled-cap trends: GeoTIFF or VRT with bands tc_brightness, …")

    def sources(self) -> AuxiliarySources:
        """What preprocessing takes."""
        from darts_core.auxiliary import AuxiliarySources

        return AuxiliarySources(dem=self.dem, trends=self.trends)
