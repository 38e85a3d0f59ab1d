"""The graph of all assets: what is made from what, and by which code; `definitions` adds what runs them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import cast

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from darts_assets import assets
from darts_assets.partitions import SCENES, partitioned_by

ASSETS = cast(Sequence[dg.AssetsDefinition], dg.load_assets_from_package_module(assets))


@cache
def asset_graph() -> AssetGraph:
    """The graph, also for assets and sensors: `definitions` is made of them, so that they cannot ask it."""
    return AssetGraph.from_assets(ASSETS)


def scene_assets() -> list[dg.AssetKey]:
    """The assets that are per scene, in pipeline order."""
    of_scenes = partitioned_by(asset_graph(), SCENES)
    return [key for key in asset_graph().toposorted_asset_keys if key in of_scenes]
