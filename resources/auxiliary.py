"""Elevation and trends that preprocessing draws on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from resources.settings import Settings

if TYPE_CHECKING:
    from darts_core.auxiliary import AuxiliarySources


class AuxiliaryData(dg.ConfigurableResource):
    """Rasters that cover all scenes; without one, the features made from it are left out."""

    # what forms they take is said once, at AuxiliarySources; Dagster's configuration knows no unions
    dem: str | None = Field(None, description="Elevation in metres: a raster, a pattern of tiles, or a catalogue")
    dem_tiles: list[str] = Field([], description="Tiles of elevation one by one, in place of dem")
    trends: str | None = Field(None, description="Tasselled-cap trends with bands tc_brightness, …, likewise")
    trends_by_epoch: dict[str, str] = Field({}, description="Last year of an epoch to its trends, in place of trends")
    excluded: list[str] = Field([], description="Ground where no slump can be: GeoTIFF, VRT or files of polygons")
    cache: str | None = Field(None, description="Folder that keeps what was read of remote sources")
    endpoint_url: str | None = Field(None, description="Endpoint of an S3-compatible service; None for AWS")

    @classmethod
    def of(cls, settings: Settings) -> AuxiliaryData:
        """What the settings name."""
        dem, trends = settings.dem, settings.trends
        return cls(
            dem=dem if isinstance(dem, str) else None,
            dem_tiles=dem if isinstance(dem, list) else [],
            trends=trends if isinstance(trends, str) else None,
            trends_by_epoch=trends if isinstance(trends, dict) else {},
            excluded=settings.excluded,
            cache=settings.auxiliary_cache,
            endpoint_url=settings.s3_endpoint,
        )

    def sources(self) -> AuxiliarySources:
        """What is configured; `for_scene` of it settles what preprocessing takes."""
        from darts_core.auxiliary import AuxiliarySources, Cache

        return AuxiliarySources(
            dem=tuple(self.dem_tiles) or self.dem,
            trends={int(epoch): where for epoch, where in self.trends_by_epoch.items()} or self.trends,
            cache=Cache(self.cache) if self.cache else None,
            storage_options={"endpoint_url": self.endpoint_url} if self.endpoint_url else {},
        )
