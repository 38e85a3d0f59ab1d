"""`make demo`, looked at from outside."""

import json
from pathlib import Path

import dagster as dg
import geopandas as gpd
import numpy as np
import pystac
import pytest
import rasterio
from rasterio.features import rasterize
from rio_cogeo.cogeo import cog_validate
from support.demo import PER_SCENE, Demo

from darts_assets.runs import instance_of
from darts_core.contracts import validate
from darts_core.inference.geotiff import TILE, read_cog
from darts_core.vectors.schema import RELEASE_SCHEMA, SLUMP_SCHEMA
from io_managers.base import StoreResource
from io_managers.zarr import ZarrIOManager
from resources.settings import Settings

OF_MODELS = ("training_patches", "segmentation_model", "super_resolution_model", "evaluation")


def test_every_asset_was_made(demo: Demo) -> None:
    for asset in PER_SCENE:
        assert demo.store.partitions(asset) == sorted([demo.sentinel2, demo.planet]), asset
    assert demo.store.partitions("slump_dataset") == ["2023"]
    for asset in ("training_patches", "segmentation_model", "evaluation"):
        assert demo.store.partitions(asset) == ["demo-native", "demo-super-resolved"]
    assert demo.store.partitions("super_resolution_model") == ["demo-upscaler"]


def test_every_product_is_whole_to_the_last_byte(demo: Demo) -> None:
    for asset in (*PER_SCENE, "slump_dataset", "segmentation_model", "evaluation", "super_resolution_model"):
        for partition in demo.store.partitions(asset):
            demo.store.current(asset, partition).verify()


def test_the_ui_knows_what_was_made(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARTS_HOME", str(demo.home))
    with instance_of(Settings.load()) as instance:
        for asset in PER_SCENE:
            materialized = instance.get_materialized_partitions(dg.AssetKey(asset))
            assert materialized == {demo.sentinel2, demo.planet}
            event = instance.get_latest_materialization_event(dg.AssetKey(asset)).asset_materialization
            version = demo.store.current(asset, event.partition).version
            assert event.tags["dagster/data_version"] == version, "the data version is the folder's name"
            assert event.metadata["version"].value == version


def test_rasters_keep_their_contracts(demo: Demo) -> None:
    zarr = ZarrIOManager(store=StoreResource(root=demo.store.root))
    for key in (demo.sentinel2, demo.planet):
        validate(zarr.read(demo.store.current("preprocessed", key), "preprocessed"), "preprocessed")
        for asset, contract in (
            ("sr_geotiff", "super_resolved"),
            ("segmentation_probabilities", "segmentation"),
            ("ensemble", "ensemble"),
            ("segmentation_mask", "postprocessed"),
        ):
            version = demo.store.current(asset, key)
            for name in version.manifest.objects:
                validate(read_cog(version.path(name), contract), contract)
                with rasterio.open(version.path(name)) as raster:
                    assert bool(raster.overviews(1)) == (raster.width > TILE), "overviews where one tile is not all"
                assert cog_validate(version.path(name), strict=True)[0]


def test_only_the_coarse_scene_is_super_resolved(demo: Demo) -> None:
    passed = {key: demo.store.current("sr_patches", key).manifest.summary["passed unchanged"] for key in _both(demo)}
    assert passed == {demo.sentinel2: False, demo.planet: True}
    sizes = {}
    for key in _both(demo):
        with rasterio.open(demo.store.current("sr_geotiff", key).path("raster.tif")) as raster:
            sizes[key] = (raster.width, raster.height, raster.res[0])
    assert sizes == {demo.sentinel2: (1280, 1280, 2.5), demo.planet: (800, 800, 3.0)}


@pytest.mark.parametrize("scene", ["sentinel2", "planet"])
def test_the_slumps_that_were_drawn_are_found(demo: Demo, scene: str) -> None:
    key = getattr(demo, scene)
    mask = read_cog(demo.store.current("segmentation_mask", key).path("raster.tif"), "postprocessed")
    truth = gpd.read_file(demo.world / "truth.geojson").to_crs(mask.rio.crs)
    drawn = rasterize(truth.geometry, out_shape=mask.extent.shape, transform=mask.rio.transform()).astype(bool)
    found, looked_at = mask.binarized_segmentation.values == 1, mask.extent.values
    iou = (found & drawn & looked_at).sum() / ((found | drawn) & looked_at).sum()
    # small models, trained for seconds: measured 0.6 (Sentinel-2) and 0.9 (Planet); nothing found would be 0
    assert iou > 0.4
    assert not found[~looked_at].any()


def test_polygons_and_release_have_their_schemas_and_agree(demo: Demo) -> None:
    scenes = [gpd.read_parquet(demo.store.current("slump_polygons", key).path("slumps.parquet")) for key in _both(demo)]
    for frame in scenes:
        assert list(frame.columns) == [*(column.name for column in SLUMP_SCHEMA), "geometry"]
        assert len(frame) > 0
        assert frame.geometry.is_valid.all()
        assert (frame["models"].str.count(",") == 1).all(), "the digests of both models"
    version = demo.store.current("slump_dataset", "2023")
    release = gpd.read_parquet(version.path("slumps.parquet"))
    assert list(release.columns) == [*(column.name for column in RELEASE_SCHEMA), "geometry"]
    assert max(map(len, scenes)) <= len(release) <= sum(map(len, scenes))
    assert release.crs.to_epsg() == 3413
    np.testing.assert_allclose(release["area_m2"].sum(), version.manifest.summary["area (ha)"] * 1e4, rtol=1e-3)
    assert len(gpd.read_file(version.path("slumps.gpkg"))) == len(release)
    pystac.Collection.from_dict(json.loads(Path(version.path("collection.json")).read_text()))


def test_models_are_evaluated_on_what_they_have_not_seen(demo: Demo) -> None:
    for model in ("demo-native", "demo-super-resolved"):
        version = demo.store.current("evaluation", model)
        report = json.loads(Path(version.path("evaluation.json")).read_text())
        assert set(report["scenes"]) == set(_both(demo))
        for scores in report["scenes"].values():
            assert scores["scores"]["iou"] > 0.3


def test_the_learned_upscaler_is_no_worse_than_bicubic_and_says_which(demo: Demo) -> None:
    summary = demo.store.current("super_resolution_model", "demo-upscaler").manifest.summary
    # from 0.0 to 0.8 dB better after seconds of training, as the noise of the held-out patches allows
    assert summary["psnr"] > summary["psnr_bicubic"] - 0.05
    assert summary["beats_bicubic"] == (summary["psnr"] > summary["psnr_bicubic"])


@pytest.mark.parametrize("asset", [*PER_SCENE, *OF_MODELS, "slump_dataset"])
def test_every_materialization_shows_a_picture_and_a_map(demo: Demo, asset: str) -> None:
    for key in demo.store.partitions(asset):
        summary = demo.store.current(asset, key).manifest.summary
        pictures = {title for title, value in summary.items() if str(value).startswith(("data:image/", "| "))}
        if summary.get("passed unchanged"):
            assert pictures == {"where"}, "there is nothing else to see"
            continue
        # a release's picture is its map
        assert pictures - {"where"}, key
        assert asset == "slump_dataset" or "where" in pictures, key


def test_the_summary_says_where_the_results_lie_and_how_to_open_the_ui(demo: Demo) -> None:
    if not demo.output:
        pytest.skip("DARTS_DEMO_HOME names a demo that ran earlier; what it printed is gone")
    for words in (demo.sentinel2, demo.planet, "2023", str(demo.home / "products"), "make ui"):
        assert words in demo.output


def _both(demo: Demo) -> list[str]:
    return [demo.sentinel2, demo.planet]
