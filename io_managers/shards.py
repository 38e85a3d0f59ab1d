"""Patch shards: `sr_patches`. Each shard is published as it is finished, so that an interrupted run goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darts_core.store import Draft, Version
from io_managers.base import ProductIOManager

if TYPE_CHECKING:
    from darts_core.inference.shards import ShardSet


class ShardsIOManager(ProductIOManager):
    """Stores what a prediction writes shard by shard."""

    def write(self, draft: Draft, value: Any, contract: str | None) -> None:
        """Let the prediction write the shards that are not there yet."""
        value(folder=draft.folder, done=set(draft.published()), publish=draft.publish)

    def read(self, version: Version, contract: str | None) -> ShardSet:
        """The shards, read one at a time."""
        from darts_core.inference.shards import ShardSet

        return ShardSet.open(version)
