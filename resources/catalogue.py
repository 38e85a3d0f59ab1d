"""Where scenes are searched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

if TYPE_CHECKING:
    from darts_core.catalogue import Catalogue


class SceneCatalogue(dg.ConfigurableResource):
    """A STAC API, or a folder or object-store prefix of scenes; both are asked in the same way."""

    url: str = Field(description="Root of a STAC API (http or https), or a folder or s3://bucket/prefix")
    collections: list[str] = Field([], description="Collections of the STAC API, such as sentinel-2-l2a; none asks all")
    endpoint_url: str | None = Field(None, description="Endpoint of an S3-compatible service; None for AWS")

    def open(self) -> Catalogue:
        """What `darts_core.catalogue` searches."""
        from darts_core.catalogue import open_catalogue

        options = {"endpoint_url": self.endpoint_url} if self.endpoint_url else {}
        return open_catalogue(self.url, self.collections, options)
