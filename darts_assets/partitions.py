"""What one partition is."""

import dagster as dg
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph

SCENES = dg.DynamicPartitionsDefinition(name="scene")
"""One acquisition of one tile, ``<tile>_<acquisition time>_<sensor>``; of every asset that is per scene."""

SEASONS = dg.DynamicPartitionsDefinition(name="season")
"""One year of scenes, the unit of a release."""

MODELS = dg.DynamicPartitionsDefinition(name="segmentation_model")
"""One segmentation model: its training set, its checkpoint, its evaluation."""

UPSCALERS = dg.DynamicPartitionsDefinition(name="super_resolution_model")
"""One super-resolution model."""


def known(instance: dg.DagsterInstance, partitions: dg.DynamicPartitionsDefinition) -> set[str]:
    """The keys that a definition has now."""
    return set(instance.get_dynamic_partitions(str(partitions.name)))


def add(instance: dg.DagsterInstance, partitions: dg.DynamicPartitionsDefinition, keys: list[str]) -> None:
    """Add keys that are not there yet."""
    instance.add_dynamic_partitions(str(partitions.name), keys)


def partitioned_by(graph: BaseAssetGraph, partitions: dg.PartitionsDefinition | None) -> set[dg.AssetKey]:
    """The assets that have these partitions."""
    return {key for key in graph.get_all_asset_keys() if graph.get(key).partitions_def == partitions}


def season_of(scene_key: str) -> str:
    """The season (year) that a scene belongs to; of a key that is no scene's, something that is none."""
    return scene_key.rpartition("_")[0].rpartition("_")[2][:4]


def tile_of(scene_key: str) -> str:
    """The tile that a scene is an acquisition of; its name may itself hold underscores."""
    return scene_key.rsplit("_", 2)[0]
