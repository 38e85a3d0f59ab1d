"""A release as a STAC Collection, with an Item for each tile."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from darts_core.release.cells import CRS, Cell, plane
from darts_core.release.errors import ReleaseError
from darts_core.release.parameters import ReleaseParameters
from darts_core.release.tiles import tile_bounds, tile_name

ARCTIC = (-180.0, 50.0, 180.0, 90.0)
"""West, south, east, north of a release without slumps, degrees."""

PARQUET = "application/vnd.apache.parquet"


def check_season(season: str) -> str:
    """A season as it names a release.

    Raises:
        ReleaseError: not a year.
    """
    if not (len(season) == 4 and season.isdigit()):
        raise ReleaseError(f"Expected a season as a year of four digits, received {season!r}")
    return season


class Catalogue:
    """Collects the tiles of a release, and writes `collection.json` and `items/` beside its files."""

    def __init__(self, folder: Path, season: str, parameters: ReleaseParameters) -> None:
        self._folder = folder
        self._season = check_season(season)
        self._parameters = parameters
        self._items: list[tuple[str, list[float]]] = []
        self._seen: list[datetime] = []

    def add(self, cell: Cell, slumps: int, first: datetime, last: datetime) -> None:
        """Write the Item of one tile."""
        import pystac

        name, bounds = tile_name(cell), _geographic(tile_bounds(cell))
        item = pystac.Item(
            id=f"{self._id}-{name}",
            geometry=_outline(tile_bounds(cell)),
            bbox=bounds,
            datetime=None,
            properties={"start_datetime": _text(first), "end_datetime": _text(last), "slumps": slumps},
            collection=self._id,
        )
        file = pystac.Asset(f"../slumps.parquet/{name}.parquet", media_type=PARQUET, roles=["data"])
        item.add_asset("parquet", file)
        item.add_link(pystac.Link("collection", "../collection.json", pystac.MediaType.JSON))
        _write(self._folder / "items" / f"{name}.json", item.to_dict(include_self_link=False))
        self._items.append((name, bounds))
        self._seen += [first, last]

    def finish(self, summaries: dict[str, Any], assets: Sequence[tuple[str, str, str]]) -> None:
        """Write the Collection.

        Args:
            summaries: figures of the whole release.
            assets: key, href, and media type of each file.
        """
        import pystac

        told = self._parameters
        described = pystac.Collection(
            id=self._id,
            title=f"{told.title}, {self._season}",
            description=f"{summaries['slumps'][0]} retrogressive thaw slumps detected in satellite scenes of "
            f"{self._season}, merged over scenes and tiles.",
            extent=pystac.Extent(pystac.SpatialExtent([self._bounds()]), pystac.TemporalExtent([[*self._interval()]])),
            license=told.license,
            providers=[pystac.Provider(name, url=url or None) for name, url in told.providers.items()] or None,
            keywords=["permafrost", "retrogressive thaw slump", "Arctic"],
            summaries=pystac.Summaries(summaries),
        )
        for key, href, media in assets:
            role = {"image/png": "thumbnail", "text/html": "overview"}.get(media, "data")
            described.add_asset(key, pystac.Asset(f"./{href}", media_type=media, roles=[role]))
        for name, _ in self._items:
            described.add_link(pystac.Link("item", f"./items/{name}.json", pystac.MediaType.GEOJSON))
        _write(self._folder / "collection.json", described.to_dict(include_self_link=False))

    @property
    def _id(self) -> str:
        return f"thaw-slumps-{self._season}"

    def _bounds(self) -> list[float]:
        """Around all tiles; those at the antimeridian or the pole make it the whole circle."""
        if not self._items:
            return [*ARCTIC]
        boxes = [bounds for _, bounds in self._items]
        south, north = min(box[1] for box in boxes), max(box[3] for box in boxes)
        if any(box[0] > box[2] for box in boxes):
            return [-180.0, south, 180.0, north]
        return [min(box[0] for box in boxes), south, max(box[2] for box in boxes), north]

    def _interval(self) -> tuple[datetime, datetime]:
        if self._seen:
            return min(self._seen), max(self._seen)
        year = int(self._season)
        return datetime(year, 1, 1, tzinfo=UTC), datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)


def _geographic(bounds: tuple[float, float, float, float]) -> list[float]:
    """West, south, east, north in degrees; west is greater than east across the antimeridian."""
    from pyproj import Transformer

    transformer = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    return [round(value, 6) for value in transformer.transform_bounds(*bounds, densify_pts=101)]


def _outline(bounds: tuple[float, float, float, float]) -> dict[str, Any]:
    """The square of a tile in degrees as GeoJSON, cut at the antimeridian."""
    import geopandas as gpd
    import shapely

    antimeridian = gpd.GeoSeries([shapely.LineString([(180, 50), (180, 90)])], crs="EPSG:4326")
    cut = antimeridian.segmentize(1).to_crs(plane()).buffer(1)[0]
    square = shapely.segmentize(shapely.box(*bounds), 20_000)
    moved = gpd.GeoSeries([shapely.difference(square, cut)], crs=plane()).to_crs("EPSG:4326")
    return json.loads(shapely.to_geojson(shapely.set_precision(moved[0], 1e-6)))


def _text(when: datetime) -> str:
    return when.isoformat().replace("+00:00", "Z")


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
