"""Patch shards: `sr_patches`. Each shard is published as it is finished, so that an interrupted run goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from darts_core.store import Draft, Version
from io_managers.base import ProductIOManager

if TYPE_CHECKING:
    from darts_core.inference.shards import ShardSet


@dataclass(frozen=True, slots=True)
class StoredShards:
    """The shards of a committed version."""

    shards: ShardSet
    attrs: dict[str, str]


class ShardsIOManager(ProductIOManager):
    """Stores what a prediction writes shard by shard."""

    def write(self, draft: Draft, value: Any, contract: str | None) -> None:
        """Let the prediction write the shards that an earlier attempt has not published."""
        value(draft.folder, draft.publish, done=set(draft.published()))

    def read(self, version: Version, contract: str | None) -> StoredShards:
        """The shards, read one at a time."""
        from darts_core.inference.shards import ShardSet

        store = version.store
        root = version.path() if store.local else store.fs.get_mapper(version.path())
        return StoredShards(ShardSet.open(root), {"version": version.version})
