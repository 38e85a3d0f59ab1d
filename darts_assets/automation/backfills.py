"""Many scenes as one backfill, which Dagster cuts into runs of many scenes each."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from dagster import DagsterInstance
from dagster._core.execution.backfill import PartitionBackfill

from darts_assets.partitions import SCENES


def start_backfill(
    instance: DagsterInstance,
    backfill_id: str,
    keys: Sequence[str],
    *,
    title: str,
    tags: Mapping[str, str] | None = None,
) -> bool:
    """Ask for all assets of some scenes; what is there already is found there. The daemon takes it up.

    Returns:
        Whether it was begun now: one of this name that is there already is left alone.
    """
    from darts_assets.definitions import defs

    if instance.get_backfill(backfill_id) is not None:
        return False
    graph = defs.resolve_asset_graph()
    nodes = (graph.get(key) for key in graph.toposorted_asset_keys)
    backfill = PartitionBackfill.from_asset_partitions(
        backfill_id=backfill_id,
        asset_graph=graph,
        partition_names=list(keys),
        asset_selection=[node.key for node in nodes if node.partitions_def == SCENES and node.is_materializable],
        backfill_timestamp=time.time(),
        tags=dict(tags or {}),
        dynamic_partitions_store=instance,
        all_partitions=False,
        title=title,
        description=None,
        run_config=None,
    )
    instance.add_backfill(backfill)
    return True
