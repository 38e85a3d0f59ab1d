"""Exports of a scene: what is in the files, in whatever order they are made, and that none is half there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pystac
import pytest
import rasterio
import xarray as xr
from affine import Affine
from jsonschema import Draft7Validator
from PIL import Image
from pystac.validation.local_validator import get_local_schema_cache
from rasterio.crs import CRS
from referencing import Registry, Resource
from rio_cogeo.cogeo import cog_validate
from shapely.geometry import shape

from darts_core import contracts
from darts_core.exports import STANDARD, ExportError, Format, SceneProducts, export
from darts_core.grids import Grid
from darts_core.inference.geotiff import read_cog
from darts_core.postprocessing import PostprocessParameters, postprocess
from darts_core.vectors.polygons import Origin, vectorize

KEY = "08WMA_20210821T210019_S2"
ORIGIN = Origin(KEY, "08WMA", "2021-08-21T21:00:19+00:00", "S2", ("aa", "bb"), "v1")
UTM = ("EPSG:32608", 513_000.0, 7_702_000.0)


def products(place: tuple[str, float, float] = UTM, *, slumps: bool = True) -> SceneProducts:
    """A scene of 90 x 120 pixels with a slump of 12 x 20 with a hole, and one of 8 x 8."""
    crs, left, top = place
    grid = Grid(CRS.from_user_input(crs), Affine(10, 0, left, 0, -10, top), 90, 120)
    probabilities = np.full(grid.shape, 0.1, "f4")
    if slumps:
        probabilities[30:42, 40:60] = probabilities[60:68, 90:98] = 0.9
        probabilities[34:37, 45:50] = 0.2
    ensembled = xr.Dataset({"probabilities": (("y", "x"), probabilities)}, grid.coordinates(), {"scene": KEY})
    quality = xr.full_like(ensembled["probabilities"], 2, dtype="u1")
    quality[:20, :20] = 0
    mask = postprocess(ensembled, quality, PostprocessParameters(mask_erosion_px=2))
    members = {f"probabilities-{name}": ensembled["probabilities"] * part for name, part in (("b", 1), ("a", 0.5))}
    colours = {name: ensembled["probabilities"] * part for name, part in (("red", 0.3), ("green", 0.2), ("blue", 0.1))}
    return SceneProducts(
        ORIGIN,
        mask,
        vectorize(mask, ORIGIN, quality),
        contracts.conform(xr.Dataset(members), "segmentation", "test"),
        xr.Dataset(colours),
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_format_makes_the_files_that_it_names(tmp_path: Path) -> None:
    written = export(products(), tmp_path / "new" / "folder", Format)
    assert list(written) == list(Format)
    names = {one: [path.name.removeprefix(f"{KEY}_") for path in paths] for one, paths in written.items()}
    assert names == {
        "probabilities": ["probabilities.tif"],
        "binarized": ["binarized.tif"],
        "extent": ["extent.tif"],
        "models": ["probabilities-a.tif", "probabilities-b.tif"],
        "geoparquet": ["slumps.parquet"],
        "geopackage": ["slumps.gpkg"],
        "footprint": ["footprint.geojson"],
        "thumbnail": ["thumbnail.png"],
        "stac": ["item.json"],
    }
    assert sorted(contents(tmp_path / "new" / "folder")) == sorted(p.name for paths in written.values() for p in paths)


def test_the_order_of_exports_and_their_company_do_not_matter(tmp_path: Path) -> None:
    scene = products()
    export(scene, tmp_path / "all", Format)
    export(scene, tmp_path / "reversed", [one.value for one in reversed(Format)] * 2)
    assert contents(tmp_path / "all") == contents(tmp_path / "reversed")
    for one in reversed([one for one in Format if one is not Format.STAC]):
        export(scene, tmp_path / "single", [one])
    alone = contents(tmp_path / "single")
    assert len(alone) == 9
    assert alone.items() <= contents(tmp_path / "all").items()


def test_lazy_products_make_the_same_files(tmp_path: Path) -> None:
    scene = products()
    rasters = ("postprocessed", "segmented", "preprocessed")
    lazy = replace(scene, **{name: getattr(scene, name).chunk({"y": 40, "x": 50}) for name in rasters})
    export(scene, tmp_path / "eager", Format)
    export(lazy, tmp_path / "lazy", Format)
    assert contents(tmp_path / "eager") == contents(tmp_path / "lazy")


def test_rasters_are_cogs_that_hold_the_products(tmp_path: Path) -> None:
    scene = products()
    written = export(scene, tmp_path, ["probabilities", "binarized", "extent", "models"])
    for one, name in (
        (Format.PROBABILITIES, "probabilities_percent"),
        (Format.BINARIZED, "binarized_segmentation"),
        (Format.EXTENT, "extent"),
    ):
        assert cog_validate(written[one][0], quiet=True)[0]
        read = read_cog(written[one][0], "postprocessed")
        assert list(read.data_vars) == [name]
        np.testing.assert_array_equal(read[name], scene.postprocessed[name])
        assert Grid.of(read) == Grid.of(scene.postprocessed)
        assert read.attrs["scene"] == KEY
    assert scene.segmented is not None
    for path, model in zip(written[Format.MODELS], "ab", strict=True):
        name = f"probabilities-{model}"
        np.testing.assert_allclose(read_cog(path, "segmentation")[name], scene.segmented[name], atol=0.00501)


def test_vector_files_hold_the_same_features(tmp_path: Path) -> None:
    scene = products()
    written = export(scene, tmp_path, ["geopackage", "geoparquet"])
    for (path,) in written.values():
        read = gpd.read_parquet(path) if path.suffix == ".parquet" else gpd.read_file(path)
        assert read.crs == scene.slumps.crs
        assert read["id"].tolist() == scene.slumps["id"].tolist()
        np.testing.assert_array_equal(read["area_m2"], scene.slumps["area_m2"])
        assert read.geometry.geom_equals(scene.slumps.geometry).all()


def test_nothing_found_is_exported_with_its_schema(tmp_path: Path) -> None:
    scene = products(slumps=False)
    assert scene.slumps.empty
    written = export(scene, tmp_path, Format)
    columns = list(scene.slumps.columns.drop("geometry"))
    read = gpd.read_parquet(written[Format.GEOPARQUET][0])
    assert read.dtypes.equals(scene.slumps.dtypes)
    assert read.crs == scene.slumps.crs
    assert list(pyogrio.read_info(written[Format.GEOPACKAGE][0])["fields"]) == columns
    item = json.loads(written[Format.STAC][0].read_text())
    assert item["properties"]["darts:slumps"] == 0


def test_the_thumbnail_shows_the_slumps_where_they_are(tmp_path: Path) -> None:
    (path,) = export(products(), tmp_path, ["thumbnail"])[Format.THUMBNAIL]
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert pixels.shape == (90, 120, 3)
    outline = (pixels == (255, 222, 60)).all(-1)
    rows, columns = np.nonzero(outline)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (30, 68, 40, 98)
    assert outline[34, 45:50].all()  # the hole is drawn too
    assert not outline[38:41, 51:59].any()


def _valid(item: dict) -> pystac.Item:
    schemas = get_local_schema_cache()
    registry = Registry().with_resources((uri, Resource.from_contents(text)) for uri, text in schemas.items())
    core = next(text for uri, text in schemas.items() if uri.endswith("item-spec/json-schema/item.json"))
    Draft7Validator(core, registry=registry).validate(item)
    return pystac.Item.from_dict(item)


def test_the_stac_item_is_valid_and_describes_every_file(tmp_path: Path) -> None:
    written = export(products(), tmp_path, Format)
    item = _valid(json.loads(written[Format.STAC][0].read_text()))
    assert item.properties["proj:code"] == "EPSG:32608"
    assert item.properties["datetime"] == "2021-08-21T21:00:19Z"
    assert item.properties["darts:slumps"] == 2
    assert item.properties["gsd"] == 10
    files = sorted(path.name for one, paths in written.items() for path in paths if one is not Format.STAC)
    assert sorted(asset.href.removeprefix("./") for asset in item.assets.values()) == files
    assert set(item.assets) == {*(set(Format) - {"models", "stac"}), "probabilities-a", "probabilities-b"}
    for name, asset in item.assets.items():
        if asset.href.endswith(".tif"):
            (band,) = asset.extra_fields["bands"]
            with rasterio.open(tmp_path / asset.href) as raster:
                assert (band["name"], band["data_type"]) == (raster.descriptions[0], raster.dtypes[0]), name
                assert band.get("nodata") == raster.nodata
                assert band.get("raster:scale", 1) == raster.scales[0]


@pytest.mark.parametrize(
    ("place", "parts"),
    [
        (("EPSG:32660", 626_500.0, 7_502_000.0), 2),
        (("EPSG:32608+5773", 513_000.0, 7_702_000.0), 1),
        (("EPSG:3413", -400_000.0, -300_000.0), 1),
    ],
)
def test_scenes_at_the_antimeridian_and_in_other_crs_are_described(
    tmp_path: Path, place: tuple[str, float, float], parts: int
) -> None:
    written = export(products(place), tmp_path, Format)
    item = _valid(json.loads(written[Format.STAC][0].read_text()))
    outline = shape(json.loads(written[Format.FOOTPRINT][0].read_text())["features"][0]["geometry"])
    assert outline.equals(shape(item.geometry))
    assert getattr(outline, "geoms", [outline]).__len__() == parts
    west, _, east, _ = item.bbox
    assert (west > east) == (parts == 2)
    described = CRS.from_user_input(item.properties["proj:code"] or item.properties["proj:wkt2"])
    assert described == CRS.from_user_input(place[0])


def test_a_file_is_whole_or_absent_and_an_older_one_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(products(slumps=False), tmp_path, ["binarized", "geopackage"])
    before = contents(tmp_path)

    def half(frame: gpd.GeoDataFrame, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("darts_core.vectors.files.write_geopackage", half)
    with pytest.raises(OSError, match="disk full"):
        export(products(), tmp_path, ["geopackage", "footprint", "binarized"])
    after = contents(tmp_path)
    assert after.keys() == before.keys()
    assert after[f"{KEY}_slumps.gpkg"] == before[f"{KEY}_slumps.gpkg"]
    assert after[f"{KEY}_binarized.tif"] != before[f"{KEY}_binarized.tif"]


def test_what_cannot_be_exported_is_said_before_anything_is_written(tmp_path: Path) -> None:
    bare = replace(products(), preprocessed=None, segmented=None)
    with pytest.raises(ExportError, match=rf"{KEY}: .* thumbnail .* preprocessed product"):
        export(bare, tmp_path / "out", STANDARD)
    with pytest.raises(ExportError, match="segmented product"):
        export(bare, tmp_path / "out", ["extent", "models"])
    with pytest.raises(ExportError, match=r"expected exports among probabilities, .* received kml, shp"):
        export(bare, tmp_path / "out", ["extent", "shp", "kml"])
    assert not (tmp_path / "out").exists()
