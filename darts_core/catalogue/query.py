"""What is looked for in a catalogue, and what a catalogue is."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from darts_core.catalogue.found import CatalogueError, Found, Search
from darts_core.catalogue.mgrs import tile_name

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

_DAY = re.compile(r"(\d{4})(?:-(\d{2}))?(?:-(\d{2}))?")


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for; what is None or empty is not asked.

    Raises:
        CatalogueError: a tile that is none, a limit outside 0..100, a period that ends before it begins.
    """

    tiles: tuple[str, ...] = ()
    """MGRS tiles, as ``T08WMA`` or ``08WMA``."""
    area: BaseGeometry | None = None
    """WGS 84 degrees: scenes that touch it."""
    start: datetime | None = None
    """Aware, first moment."""
    end: datetime | None = None
    """Aware, last moment."""
    max_cloud: float | None = None
    """Percent; a scene of which nobody says it does not pass."""
    max_snow: float | None = None
    """Percent, likewise."""
    limit: int = 10_000
    """More scenes than so many are an error: a server may page without end."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "tiles", tuple(tile_name(tile) for tile in self.tiles))
        for name in ("max_cloud", "max_snow"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 100:
                raise CatalogueError(f"Expected {name} in percent, 0..100, received {value}")
        if any(time is not None and time.tzinfo is None for time in (self.start, self.end)):
            raise CatalogueError(f"Expected times with a zone, received {self.start} and {self.end}")
        if self.start and self.end and self.end < self.start:
            raise CatalogueError(f"Expected a period that ends after it begins, received {self.start} to {self.end}")

    def takes(self, found: Found) -> bool:
        """Whether a scene is one that is looked for; what is not known does not pass."""
        scene = found.scene
        if self.tiles and scene.tile not in self.tiles:
            return False
        if (self.start and scene.acquired < self.start) or (self.end and scene.acquired > self.end):
            return False
        for value, limit in ((found.cloud, self.max_cloud), (found.snow, self.max_snow)):
            if limit is not None and (value is None or value > limit):
                return False
        return self.area is None or (found.footprint is not None and found.footprint.intersects(self.area))


class Catalogue(Protocol):
    """Something that scenes are looked for in."""

    def search(self, query: Query) -> Search:
        """The scenes that a query asks for.

        Raises:
            CatalogueError: it cannot be searched.
        """


def period_of(text: str) -> tuple[datetime, datetime]:
    """First and last moment (UTC) of ``2021``, ``2021-07``, ``2021-07-03``, or of two of them with ``/`` between.

    Raises:
        CatalogueError: none of these.
    """
    first, slash, last = text.partition("/")
    try:
        start, end = _span(first)[0], _span(last if slash else first)[1]
    except ValueError:
        raise CatalogueError(
            f"Expected a period such as 2021, 2021-07, 2021-07-03 or 2021-06-15/2021-09-15, received {text!r}"
        ) from None
    return start, end


def _span(text: str) -> tuple[datetime, datetime]:
    found = _DAY.fullmatch(text.strip())
    if not found:
        raise ValueError(text)
    year, month, day = (int(part) if part else None for part in found.groups())
    start = datetime(year, month or 1, day or 1, tzinfo=UTC)  # type: ignore[arg-type]
    final = datetime(start.year, month or 12, day or monthrange(start.year, month or 12)[1], tzinfo=UTC)
    return start, final + timedelta(days=1, microseconds=-1)


def area_of(text: str) -> BaseGeometry:
    """An area in WGS 84 degrees, from ``west,south,east,north`` or the features of a vector file.

    Where west is larger than east the box crosses the antimeridian, as RFC 7946 has it.

    Raises:
        CatalogueError: neither.
    """
    import shapely

    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        return _from_file(Path(text))
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south < north <= 90):
        raise CatalogueError(f"Expected an area as west,south,east,north in degrees, received {text}")
    if west <= east:
        return shapely.box(west, south, east, north)
    return shapely.union_all([shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)])


def _from_file(path: Path) -> BaseGeometry:
    import geopandas as gpd

    if not path.is_file():
        raise CatalogueError(
            f"Area {path} is neither west,south,east,north in degrees nor a file; name a GeoJSON or GeoPackage"
        )
    try:
        frame = gpd.read_file(path)
    except Exception as error:
        # pyogrio and GDAL raise errors of their own
        raise CatalogueError(f"Area {path} is not a vector file that GDAL can read: {error}") from error
    if not isinstance(frame, gpd.GeoDataFrame) or frame.crs is None or frame.geometry.isna().all():
        raise CatalogueError(f"Area {path} should hold geometries and say in which CRS; it has {len(frame)} rows")
    return frame.to_crs(4326).make_valid().union_all()
