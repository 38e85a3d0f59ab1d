"""Products of many partitions, for the assets that are made from a collection of scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from darts_assets.types import Dataset
from darts_core.errors import DartsError
from darts_core.manifests import file_digest
from darts_core.store import MissingProduct
from io_managers.base import ProductIOManager, StoreResource
from io_managers.cog import CogIOManager
from io_managers.zarr import ZarrIOManager


class LabelledScenes(dg.Config):
    """Scenes, and the truth about them."""

    truth: str = Field(description="File of slump outlines: GeoJSON, GeoPackage, Shapefile or GeoParquet")
    scenes: list[str] = Field([], description="Partition keys of the scenes; all that are made where empty")

    def truth_digest(self) -> str:
        """SHA-256 of the outlines.

        Raises:
            DartsError: the file is not there.
        """
        try:
            return file_digest(Path(self.truth))
        except OSError as error:
            raise DartsError(
                f"The slump outlines {self.truth!r} cannot be read ({error.strerror}). Expected a GeoJSON, GeoPackage, "
                "Shapefile or GeoParquet file; give its path as `truth` in the asset's config"
            ) from error


def collected(asset: str) -> dg.AssetDep:
    """The dependency of a collection on many partitions of `asset`.

    It draws the edge and maps no partition: what is there, a collection reads from the store's index, because an
    all-partitions mapping would be evaluated for every scene at every look at the graph.
    """
    return dg.AssetDep(asset, partition_mapping=dg.SpecificPartitionsPartitionMapping([]))


def preprocessed_scenes(store: StoreResource, keys: list[str]) -> dict[str, Dataset]:
    """`preprocessed` of these scenes, of all that are made where no key is given; lazy, by key.

    Raises:
        MissingProduct: a scene is not preprocessed, or none is.
    """
    return _read(ZarrIOManager(store=store), "preprocessed", "preprocessed", keys)


def super_resolved_scenes(store: StoreResource, keys: list[str]) -> dict[str, Dataset]:
    """`sr_geotiff` of these scenes, as `preprocessed_scenes` reads the others."""
    return _read(CogIOManager(store=store), "sr_geotiff", "super_resolved", keys)


def _read(manager: ProductIOManager, asset: str, contract: str, keys: list[str]) -> dict[str, Any]:
    products = manager.store.open()
    chosen = sorted(keys or products.partitions(asset))
    if not chosen:
        raise MissingProduct(f"No scene has {asset} yet; materialize it for the scenes to learn from")
    return {key: manager.read(products.current(asset, key), contract) for key in chosen}
