"""`segmentation_mask` in Dagster: ground that is excluded by configuration, and its part in the identity."""

import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import geopandas as gpd
import numpy as np
import pytest
import xarray as xr
from shapely import box
from support.datasets import preprocessed_dataset

from darts_assets.assets.segmentation_mask import segmentation_mask
from darts_assets.partitions import SCENES
from darts_core.contracts import conform, encode
from darts_core.datasets import write_zarr
from darts_core.grids import Grid
from darts_core.inference.geotiff import blocks_of, read_cog, write_cog
from darts_core.store import Store
from io_managers.base import StoreResource
from io_managers.cog import CogIOManager
from io_managers.zarr import ZarrIOManager
from resources.auxiliary import AuxiliaryData

KEY = "T08WMA_20210821T210019_S2A"
UPSTREAM = [
    dg.AssetSpec(name, partitions_def=SCENES, metadata={"contract": name}).with_io_manager_key(manager)
    for name, manager in (("preprocessed", "zarr"), ("ensemble", "cog"))
]
CONFIG = {"quality_level": 0, "min_object_px": 0}


@pytest.fixture
def products(tmp_path: Path) -> Store:
    """A scene of 40 x 30 pixels with a slump in the left half and one in the right."""
    store = Store(str(tmp_path / "store"))
    scene = preprocessed_dataset()
    with store.draft("preprocessed", KEY, "v1") as draft:
        write_zarr(encode(scene, "preprocessed"), draft.folder / "data.zarr")
        draft.commit()
    values = np.full((40, 30), 0.1, "f4")
    values[10:15, 5:10] = values[10:15, 20:25] = 0.9
    layers = {"probabilities": (("y", "x"), values), "spread": (("y", "x"), np.zeros_like(values))}
    made = conform(xr.Dataset(layers, scene.coords), "ensemble", "test")
    with store.draft("ensemble", KEY, "v1") as draft:
        write_cog(blocks_of(made, "ensemble", tags={"model_digests": "aa"}), draft.folder / "raster.tif")
        draft.commit()
    return store


def run(store: Store, lasting: tuple[str, ...] = (), **config: Any) -> tuple[str, bool, list[int]]:
    """Version, whether it was there before, and the columns with slumps."""
    resource = StoreResource(root=store.root)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("scene", [KEY])
        result = dg.materialize(
            [*UPSTREAM, segmentation_mask],
            selection=["segmentation_mask"],
            instance=instance,
            partition_key=KEY,
            resources={
                "store": resource,
                "auxiliary": AuxiliaryData(excluded=list(lasting)),
                "zarr": ZarrIOManager(store=resource),
                "cog": CogIOManager(store=resource),
            },
            run_config={"ops": {"segmentation_mask": {"config": {**CONFIG, **config}}}},
        )
    (event,) = result.get_asset_materialization_events()
    version = store.current("segmentation_mask", KEY)
    mask = read_cog(version.path("raster.tif"), "postprocessed")["binarized_segmentation"].values
    return (
        version.version,
        bool(event.materialization.metadata["cache_hit"].value),
        np.flatnonzero(mask.any(0)).tolist(),
    )


def test_excluded_ground_takes_slumps_away_and_its_content_counts(products: Store, tmp_path: Path) -> None:
    left, _, right, top = preprocessed_dataset().rio.bounds()
    lake = gpd.GeoDataFrame(
        geometry=[box((left + right) / 2, top - 200, right, top)], crs=Grid.of(preprocessed_dataset()).crs
    )
    file = tmp_path / "lake.gpkg"
    lake.to_file(file)

    first, again, columns = run(products)
    assert (again, columns) == (False, [5, 6, 7, 8, 9, 20, 21, 22, 23, 24])
    second, again, columns = run(products, excluded=[str(file)])
    assert (again, columns) == (False, [5, 6, 7, 8, 9])
    assert second != first

    (tmp_path / "other").mkdir()
    shutil.copy(file, tmp_path / "other" / "lake.gpkg")
    assert run(products, excluded=[str(tmp_path / "other" / "lake.gpkg")])[:2] == (second, True)
    assert run(products, (str(file),))[:2] == (second, True), "from the settings it is the same"
    assert run(products, excluded=[str(file)], excluded_share=1.0)[0] not in (first, second)


def test_compat_and_unknown_choices_are_told_apart(products: Store) -> None:
    assert run(products)[0] != run(products, compat="darts")[0]
    with pytest.raises(dg.DagsterInvalidConfigError, match="compatible"):
        run(products, compatible="darts")
