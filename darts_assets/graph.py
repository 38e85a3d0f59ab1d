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
    """The graph; for those that are asked about all assets and are needed to run them."""
    return AssetGraph.from_assets(ASSETS)
