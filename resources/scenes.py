"""Where scenes come from, and the register of those that are partitions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from darts_core.store import MissingProduct, Store

if TYPE_CHECKING:
    from darts_core.scenes import Findings, Scene

REGISTER = "scenes"


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


def register(store: Store, scenes: Iterable[Scene]) -> list[str]:
    """Write down where each scene lies, and return the partition keys; a re-delivered scene replaces its entry."""
    keys = []
    for scene in scenes:
        store.write_bytes(store.path(REGISTER, f"{scene.key}.json"), scene.to_json().encode())
        keys.append(scene.key)
    return keys


def registered(store: Store, key: str) -> Scene:
    """The scene of a partition.

    Raises:
        MissingProduct: the partition was added by hand; scenes are registered by the sensor or `darts-assets run`.
    """
    from darts_core.scenes import Scene

    try:
        return Scene.from_json(store.fs.cat_file(store.path(REGISTER, f"{key}.json")).decode())
    except FileNotFoundError:
        raise MissingProduct(
            f"No scene is registered for partition {key!r}. Partitions are added by the sensor 'new_scenes' or by "
            "'darts-assets run PATH'; one that was typed by hand has no data behind it: delete it"
        ) from None
