"""A folder or object-store prefix as a catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from darts_core.catalogue.found import Found, Search
from darts_core.catalogue.mgrs import is_tile, tile_grid
from darts_core.catalogue.query import Query
from darts_core.scenes import Scene, SceneError, find_scenes

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry


@dataclass(frozen=True, slots=True)
class FileCatalogue:
    """What `find_scenes` finds, by what its metadata says."""

    url: str
    storage_options: Mapping[str, Any] = field(default_factory=dict)

    def search(self, query: Query) -> Search:
        """The scenes that a query asks for, at the cost of their metadata.

        An area is compared with the MGRS tile of a scene; a scene of another tiling is opened to see where it lies.

        Raises:
            SceneError: nothing there that could be a scene.
        """
        findings = find_scenes(self.url, self.storage_options)
        # the costly questions are asked only about what the others leave
        likely = Query(query.tiles, None, query.start, query.end)
        scenes = [scene for scene in findings.scenes if likely.takes(Found(scene))]
        described = [self._described(scene, query.area is not None) for scene in scenes]
        return Search(tuple(one for one in described if query.takes(one)), findings.refusals)

    def _described(self, scene: Scene, placed: bool) -> Found:
        from darts_core.scenes.locating import properties_of

        properties: Mapping[str, Any] = {}
        with suppress(SceneError):  # what cannot be read says nothing of clouds, and is told when it is processed
            properties = properties_of(scene, self.storage_options)
        return Found(scene, *shares(properties), self._footprint(scene) if placed else None)

    def _footprint(self, scene: Scene) -> BaseGeometry | None:
        from darts_core.scenes.locating import locate
        from darts_core.scenes.stac import footprint

        if is_tile(scene.tile):
            return footprint(tile_grid(scene.tile))[0]
        try:
            located = locate(scene, storage_options=self.storage_options)
        except SceneError:
            return None
        located.folder.close()
        return footprint(located.grid)[0]


def shares(properties: Mapping[str, Any]) -> tuple[float | None, float | None, float | None]:
    """(cloud, snow, nodata) in percent, of the properties of a STAC Item; None where it does not say."""
    names = (
        ("eo:cloud_cover",),
        ("eo:snow_cover", "s2:snow_ice_percentage"),
        ("s2:nodata_pixel_percentage",),
    )
    stated = (next((properties[name] for name in of if name in properties), None) for of in names)
    cloud, snow, nodata = (_percent(value) for value in stated)
    return cloud, snow, nodata


def _percent(value: object) -> float | None:
    # Landsat writes -1 where it was not assessed
    known = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 100
    return float(value) if known else None  # type: ignore[arg-type]
