"""Products of many partitions, for the assets that are made from a collection of scenes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from darts_assets.types import Dataset
from darts_core.errors import DartsError
from darts_core.manifests import file_digest
from darts_core.store import MissingProduct, Store, Version
from io_managers.base import ProductIOManager, StoreResource
from io_managers.cog import SINGLE, SUFFIX, CogIOManager
from io_managers.geoparquet import GeoParquetIOManager
from io_managers.zarr import ZarrIOManager

if TYPE_CHECKING:
    from darts_core.release import PreviousRelease, SceneDetections


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


@dataclass(frozen=True, slots=True)
class StoredDetections:
    """What was found in scenes, and where it was looked for, as it lies in the store."""

    store: StoreResource
    polygons: Mapping[str, Version]
    masks: Mapping[str, Version]

    @property
    def versions(self) -> dict[str, str]:
        """What a release is made from, by name."""
        masks = {f"{key}:mask": mask.version for key, mask in self.masks.items()}
        return {key: version.version for key, version in self.polygons.items()} | masks

    def read(self) -> Iterator[SceneDetections]:
        """The scenes, one at a time."""
        from darts_core.release import Look, SceneDetections, read_extent

        frames, features = GeoParquetIOManager(store=self.store), ZarrIOManager(store=self.store)
        for key, version in self.polygons.items():
            scene = features.read(self.store.open().current("preprocessed", key), "preprocessed").attrs
            extent = read_extent(self.masks[key].fetch(f"{SINGLE}{SUFFIX}"))
            yield SceneDetections(frames.read(version, None), Look.of(scene, extent))


def scene_detections(store: StoreResource, keys: list[str]) -> StoredDetections:
    """`slump_polygons` and `segmentation_mask` of these scenes.

    Raises:
        MissingProduct: a scene lacks one of them.
    """
    products = store.open()
    polygons, masks = (
        {key: products.current(asset, key) for key in keys} for asset in ("slump_polygons", "segmentation_mask")
    )
    return StoredDetections(store, polygons, masks)


@dataclass(frozen=True, slots=True)
class PassedOn:
    """The stored release whose slumps keep their ids."""

    stored: Version

    @property
    def version(self) -> str:
        """The identity that names it."""
        return self.stored.version

    def release(self) -> PreviousRelease:
        """Its files, on a local disk."""
        from darts_core.release import PreviousRelease

        names = [name for name in self.stored.manifest.objects if name.endswith(".parquet")]
        files = {name: self.stored.fetch(name) for name in names}
        slumps = tuple(path for name, path in files.items() if name.startswith("slumps.parquet/"))
        return PreviousRelease(slumps, files.get("retired.parquet"))


def passed_on(store: Store, season: str, previous: str | None) -> PassedOn | None:
    """The release that passes its ids on to that of a season.

    Args:
        previous: its season; None is the latest one before `season` that is made, `none` is no release.

    Raises:
        MissingProduct: no release of the season asked for.
    """
    if previous is None:
        earlier = [made for made in store.partitions("slump_dataset") if made < season]
        previous = max(earlier, default="none")
    return None if previous == "none" else PassedOn(store.current("slump_dataset", previous))
