"""Where scenes come from, and the register of those that are partitions."""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from darts_core.store import MissingProduct, Store, check_name
from resources.settings import Settings

if TYPE_CHECKING:
    from darts_core.catalogue import Query
    from darts_core.scenes import Findings, Scene
    from darts_core.scenes.arrivals import Arrivals

REGISTER = "scenes"

_WRITERS = 16
"""Entries that are written at once: an object store answers many as fast as one."""


class SceneSource(dg.ConfigurableResource):
    """A folder or object-store prefix that scenes arrive in; the register keeps where each partition's scene lies."""

    url: str = Field(description="Folder or s3://bucket/prefix that is searched for scenes, or one STAC Item")
    endpoint_url: str | None = Field(None, description="Endpoint of an S3-compatible service; None for AWS")

    @property
    def options(self) -> dict[str, str]:
        """Keyword arguments for the fsspec filesystem of `url`."""
        return {"endpoint_url": self.endpoint_url} if self.endpoint_url else {}

    def find(self) -> Findings:
        """Every scene under `url`, and what was refused and why."""
        from darts_core.scenes import Findings, find_scenes
        from darts_core.scenes.itemfolder import read_item
        from darts_core.scenes.items import scene_of_item

        if self.url.startswith(("http://", "https://")):
            return Findings((scene_of_item(read_item(self.url, self.options), self.url),), ())
        return find_scenes(self.url, self.options)


class WatchedPlace(dg.ConfigurableResource):
    """Where the sensor `new_scenes` looks: a folder, an object-store prefix, or a search of a STAC API."""

    url: str = Field(description="Folder or s3://bucket/prefix, or the root of a STAC API (http or https)")
    endpoint_url: str | None = Field(None, description="Endpoint of an S3-compatible service; None for AWS")
    collections: list[str] = Field([], description="Collections of the STAC API")
    tiles: list[str] = Field([], description="MGRS tiles that are searched for in the STAC API")
    area: str | None = Field(None, description="Area that is searched: west,south,east,north or a vector file")
    dates: str | None = Field(None, description="Period that is searched, such as 2023-06-15/2023-09-15")
    max_cloud: float | None = Field(None, description="Percent of cloud that a scene of the STAC API may have")

    @classmethod
    def of(cls, settings: Settings) -> WatchedPlace:
        """The place that the settings name."""
        return cls(
            url=settings.watch or settings.scenes,
            endpoint_url=settings.s3_endpoint,
            collections=settings.collections,
            tiles=settings.tiles,
            area=settings.area,
            dates=settings.dates,
            max_cloud=settings.max_cloud,
        )

    @property
    def options(self) -> dict[str, str]:
        """Keyword arguments for the fsspec filesystem of `url`."""
        return {"endpoint_url": self.endpoint_url} if self.endpoint_url else {}

    def open(self, since: str | None = None) -> Arrivals:
        """What arrives there.

        Args:
            since: as a catalogue's `Arrivals` told it; where a search goes on.

        Raises:
            DartsError: a question that cannot be asked, or a server that does not answer.
        """
        if not self.url.startswith(("http://", "https://")):
            from darts_core.scenes.arrivals import Inbox

            return Inbox(self.url, self.options)
        from darts_core.catalogue.arrivals import CatalogueArrivals
        from darts_core.catalogue.stac import StacCatalogue

        return CatalogueArrivals(StacCatalogue(self.url, tuple(self.collections)), self._query(), since)

    def _query(self) -> Query:
        from darts_core.catalogue import CatalogueError, Query, area_of, period_of

        if not self.dates or not (self.tiles or self.area):
            raise CatalogueError(
                f"What is searched in {self.url} is not bounded. Expected `dates`, and `tiles` or `area`, in the "
                "settings"
            )
        area = None if self.area is None else area_of(self.area)
        return Query(tuple(self.tiles), area, *period_of(self.dates), max_cloud=self.max_cloud)


@dataclass(frozen=True, slots=True)
class Registered:
    """The register's entry of one partition."""

    scene: Scene
    entry: str | None = None
    """What was delivered, as the place that is watched names it; None for a scene that a person named."""
    signature: str | None = None
    """Of the delivery that was last settled; see `Arrivals.signature`."""
    renewed: tuple[str, str] | None = None
    """Signature and digest of a delivery that replaces it and is not settled yet."""
    times: int = 0
    """How often it was delivered anew."""

    def to_json(self) -> str:
        """The entry as text."""
        notes = {name: value for name, value in asdict(self).items() if name != "scene" and value}
        return json.dumps({**json.loads(self.scene.to_json()), **({"delivery": notes} if notes else {})})

    @classmethod
    def from_json(cls, text: str) -> Registered:
        """The inverse of `to_json`.

        Raises:
            SceneError: text that is no scene.
        """
        from darts_core.scenes import Scene

        try:
            fields = json.loads(text)
            notes = fields.pop("delivery", {})
            renewed = notes.pop("renewed", None)
            return cls(Scene.from_json(json.dumps(fields)), **notes, renewed=tuple(renewed) if renewed else None)
        except (ValueError, TypeError, AttributeError):
            return cls(Scene.from_json(text))  # which says what it expected


def register(store: Store, scenes: Iterable[Scene]) -> list[str]:
    """Write down where each scene lies, and return the partition keys; a re-delivered scene replaces its entry."""
    return enter(store, [Registered(scene) for scene in scenes])


def enter(store: Store, entries: Iterable[Registered]) -> list[str]:
    """Write entries into the register, and return their partition keys.

    Raises:
        StoreError: a key that cannot be one.
    """
    written = list(entries)
    paths = [store.path(REGISTER, f"{check_name(entry.scene.key, 'partition key')}.json") for entry in written]
    with ThreadPoolExecutor(_WRITERS) as pool:
        list(pool.map(store.write_bytes, paths, (entry.to_json().encode() for entry in written)))
    return [entry.scene.key for entry in written]


def entry_of(store: Store, key: str) -> Registered | None:
    """The register's entry of a partition, None where it has none."""
    try:
        return Registered.from_json(store.fs.cat_file(store.path(REGISTER, f"{key}.json")).decode())
    except FileNotFoundError:
        return None


def registered(store: Store, key: str) -> Scene:
    """The scene of a partition.

    Raises:
        MissingProduct: the partition was added by hand; scenes are registered by the sensor or `darts-assets run`.
    """
    entry = entry_of(store, key)
    if entry is None:
        raise MissingProduct(
            f"No scene is registered for partition {key!r}. Partitions are added by the sensor 'new_scenes' or by "
            "'darts-assets run PATH'; one that was typed by hand has no data behind it: delete it"
        )
    return entry.scene
