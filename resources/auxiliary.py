"""Elevation and trends that preprocessing draws on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

if TYPE_CHECKING:
    from darts_core.auxiliary import AuxiliarySources


class AuxiliaryData(dg.ConfigurableResource):
    """Rasters that cover all scenes; without one, the features made from it are left out."""

    # what forms they take is said once, at AuxiliarySources
    dem: str | list[str] | None = Field(None, description="Elevation in metres: a raster, its tiles, or a catalogue")
    trends: str | dict[str, str] | None = Field(
        None, description="Tasselled-cap trends with bands tc_brightness, …: a raster, or a table of them by epoch"
    )
    cache: str | None = Field(None, description="Folder that keeps what was read of remote sources")
    endpoint_url: str | None = Field(None, description="Endpoint of an S3-compatible service; None for AWS")

    def sources(self) -> AuxiliarySources:
        """What is configured; `for_scene` of it settles what preprocessing takes."""
        from darts_core.auxiliary import AuxiliarySources, Cache

        return AuxiliarySources(
            dem=tuple(self.dem) if isinstance(self.dem, list) else self.dem,
            trends=(
                {int(epoch): where for epoch, where in self.trends.items()}
                if isinstance(self.trends, dict)
                else self.trends
            ),
            cache=Cache(self.cache) if self.cache else None,
            storage_options={"endpoint_url": self.endpoint_url} if self.endpoint_url else {},
        )
