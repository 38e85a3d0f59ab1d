"""A STAC API as a catalogue of scenes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import shapely
from shapely.geometry import mapping, shape

from darts_core.catalogue.files import shares
from darts_core.catalogue.found import Found, Search
from darts_core.catalogue.mgrs import tile_grid
from darts_core.catalogue.query import Query
from darts_core.scenes.items import scene_of_item
from darts_core.scenes.scene import CATALOGUE_READER, Refusal, SceneError

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

_SHRUNK_M = 1_000.0
"""Tiles overlap by 9.8 km; what only touches a border is none of this tile."""


@dataclass(frozen=True, slots=True)
class StacCatalogue:
    """Scenes of some collections of a STAC API; they are read where they lie."""

    url: str
    """Root of the API."""
    collections: tuple[str, ...] = ()
    """Such as ``sentinel-2-l2a``; empty asks for all."""

    def search(self, query: Query) -> Search:
        """The scenes that a query asks for; of two Items of one acquisition the later in the order of names.

        What the server can be asked it is asked, and its answer is checked again here.

        Raises:
            CatalogueError: the server cannot be reached, is no STAC API, or finds too many.
        """
        from darts_core.catalogue.api import Api

        api = Api(self.url)
        asked = api.conditions(self.collections, query.max_cloud, query.tiles)
        place = query.area if query.area is not None else _around(query.tiles)
        if place is not None:
            asked["intersects"] = mapping(place)
        if query.start or query.end:
            asked["datetime"] = (query.start, query.end)
        found: dict[str, Found] = {}
        refusals = []
        items = sorted(api.items(self.collections, query.limit, **asked), key=lambda item: str(item.get("id")))
        for item in items:
            url = api.item_url(item)
            try:
                one = _found(item, url)
            except SceneError as error:
                refusals.append(Refusal(url, {CATALOGUE_READER: str(error)}))
                continue
            if query.takes(one):
                found[one.scene.key] = one
        return Search(tuple(found[key] for key in sorted(found)), tuple(refusals))


def _around(tiles: tuple[str, ...]) -> BaseGeometry | None:
    """Outline of tiles in degrees."""
    from affine import Affine

    from darts_core.grids import Grid
    from darts_core.scenes.stac import footprint

    outlines = []
    for tile in tiles:
        whole = tile_grid(tile)
        size, _, left, _, _, top = tuple(whole.transform)[:6]
        inner = Affine(size - 2 * _SHRUNK_M, 0, left + _SHRUNK_M, 0, -(size - 2 * _SHRUNK_M), top - _SHRUNK_M)
        outlines.append(footprint(Grid(whole.crs, inner, 1, 1))[0])
    return shapely.union_all(outlines) if outlines else None


def _found(item: Mapping[str, Any], url: str) -> Found:
    if not isinstance(item.get("properties"), dict) or not isinstance(item.get("assets"), dict):
        raise SceneError(f"{url} is not a STAC Item: it lacks properties or assets")
    try:
        outline = shapely.make_valid(shape(item["geometry"])) if item.get("geometry") else None
    except (KeyError, TypeError, ValueError, shapely.errors.ShapelyError) as error:
        raise SceneError(f"{url}: its geometry cannot be read ({error})") from error
    return Found(scene_of_item(item, url), *shares(item["properties"]), outline)
