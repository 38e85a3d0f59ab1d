"""The graph of all assets: what is made from what, and by which code; `definitions` adds what runs them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import cast

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from darts_assets import assets

ASSETS = cast(Sequence[dg.AssetsDefinition], dg.load_assets_from_package_module(assets))


@cache
def asset_graph() -> AssetGraph:
    """The graph, also for assets and sensors: `definitions` is made of them, so that they cannot ask it."""
    return AssetGraph.from_assets(ASSETS)
