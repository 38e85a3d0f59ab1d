"""Patch shards: `sr_patches`. Each shard is published as it is finished, so that an interrupted run goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from darts_core.store import Draft, Version
from io_managers.base import ProductIOManager, Summary

if TYPE_CHECKING:
    from darts_core.inference.shards import ShardSet


@dataclass(frozen=True, slots=True)
class StoredShards:
    """The shards of a committed version."""

    shards: ShardSet
    attrs: dict[str, str]


class ShardsIOManager(ProductIOManager):
    """Stores what a prediction writes shard by shard."""

    def write(self, draft: Draft, value: Callable[[Draft], Summary], contract: str | None) -> Summary:
        """Let the prediction fill the draft with what an earlier attempt has not published."""
        return value(draft)

    def read(self, version: Version, contract: str | None) -> StoredShards:
        """The shards, read one at a time."""
        from darts_core.inference.shards import ShardSet

        store = version.store
        root = version.path() if store.local else store.fs.get_mapper(version.path())
        return StoredShards(ShardSet.open(root), {"version": version.version})
