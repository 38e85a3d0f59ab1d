"""Where auxiliary data lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from darts_core.errors import DartsError

if TYPE_CHECKING:
    from darts_core.auxiliary.cache import Cache

TREND_EPOCHS = (2019, 2020, 2022, 2024)
"""Last years of the periods that tasselled-cap trends were made of."""
DEM_RESOLUTIONS = (2, 10, 32)
"""Metres at which ArcticDEM is published."""

Where: TypeAlias = str | tuple[str, ...]
"""A raster, or the tiles of one: of two that hold the same place the earlier is taken."""


class AuxiliaryError(DartsError):
    """Auxiliary data that cannot be opened, does not cover the scene or has unexpected bands."""


@dataclass(frozen=True, slots=True)
class AuxiliarySources:
    """Where the auxiliary data lies; None: that feature is not made.

    A source is what GDAL opens (GeoTIFF, VRT, ``/vsizip/…``) or a Zarr store (``….zarr``), local, http(s) or s3;
    several tiles of one; a local pattern with ``*``; or ``stac+https://host/collections/<id>`` (``?asset=<key>``),
    whose Items that touch the scene are taken.
    """

    dem: Where | None = None
    """Elevation in metres, one band, with declared nodata. ``{resolution}`` in it becomes 2, 10 or 32: the coarsest
    that is no coarser than the scene's pixels."""
    trends: Where | Mapping[int, Where] | None = None
    """Tasselled-cap trends, uint8; band descriptions name the bands. ``{epoch}`` in it becomes the last year of the
    trends' period, and a mapping has a source for each; see `trend_epoch`."""
    cache: Cache | None = None
    """Keeps what was read of remote sources."""
    storage_options: Mapping[str, Any] = field(default_factory=dict)
    """Of the filesystem that remote sources lie in, such as ``endpoint_url``."""


def trend_epoch(year: int, epochs: tuple[int, ...] = TREND_EPOCHS) -> int:
    """The trends for scenes of a year: the first epoch that does not end before it, else the last."""
    return min((epoch for epoch in epochs if epoch >= year), default=max(epochs))


def dem_resolution(pixel: float, resolutions: tuple[int, ...] = DEM_RESOLUTIONS) -> int:
    """The coarsest resolution (metres) that is no coarser than a scene's pixels, else the finest."""
    # a pixel of 9.99 m is one of 10 m
    return max((metres for metres in resolutions if metres <= pixel * 1.05), default=min(resolutions))


def parts_of(where: Where) -> tuple[str, ...]:
    """The rasters of a source."""
    return (where,) if isinstance(where, str) else tuple(where)


def name_of(url: str) -> str:
    """The last part of a URL."""
    return url.rstrip("/").rsplit("/", 1)[-1]
