"""A home in which the demo ran, and how to run our command as a user does."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from darts_core.datasets import GROUP
from darts_core.store import Store

PER_SCENE = (
    "raw_scene",
    "preprocessed",
    "sr_patches",
    "sr_geotiff",
    "segmentation_probabilities",
    "ensemble",
    "segmentation_mask",
    "slump_polygons",
)

DARTS_ASSETS = str(Path(sys.executable).parent / "darts-assets")


@dataclass(frozen=True)
class Demo:
    """A home in which the demo ran."""

    home: Path
    output: str

    @property
    def store(self) -> Store:
        return Store(str(self.home / "products"))

    @property
    def world(self) -> Path:
        return self.home / "demo-world"

    @property
    def sentinel2(self) -> str:
        """The partition key of its Sentinel-2 scene."""
        return next(key for key in self.store.partitions("preprocessed") if key.startswith("T08WMA"))

    @property
    def planet(self) -> str:
        """The partition key of its PlanetScope scene."""
        return next(key for key in self.store.partitions("preprocessed") if "_PS" in key)


def assert_same_products(store: Store, demo: Demo, key: str, but: tuple[str, ...] = ()) -> None:
    """Each object of a scene's products has the bytes that the demo made.

    The demo trains its models, so that its scenes have DARTS's whole set of features; where models are brought,
    scenes have what these ask for, and the head of the group says so.
    """
    for asset in (asset for asset in PER_SCENE if asset not in but):
        here, there = (one.current(asset, key).manifest.objects for one in (store, demo.store))
        if asset == "preprocessed":
            here = {name: record for name, record in here.items() if name != f"{GROUP}/zarr.json"}
            there = {name: record for name, record in there.items() if name in here}
        assert here == there, asset


def plain_environment() -> dict[str, str]:
    """The environment of a user who has set nothing of ours."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DARTS_", "DAGSTER_")) and name != "COLUMNS"
    } | {"COLUMNS": "200"}
