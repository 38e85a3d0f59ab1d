"""GeoTIFFs that a STAC Item describes, real ones among them."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS

from darts_core.scenes import SceneError, find_scenes, read_scene

PEEL = "S2_20210821T210019_20210821T210020_T08WMA"
CORE = ("blue", "green", "red", "nir")
PEEL_BANDS = [
    ("B2", "blue"),
    ("B3", "green"),
    ("B4", "red"),
    ("B5", "rededge"),
    ("B6", "rededge"),
    ("B7", "rededge"),
    ("B8", "nir"),
]


def eo_bands(names, **raster):
    return {
        "eo:bands": [{"name": name.upper(), "common_name": name} for name in names],
        "raster:bands": [{"scale": 1e-4, "offset": 0, **raster} for _ in names],
    }


def only_scene(folder):
    findings = find_scenes(str(folder))
    assert len(findings.scenes) == 1, findings.refusals
    return findings.scenes[0]


@pytest.fixture
def peel(shared_data, tmp_path, make_item):
    """The Peel Plateau scene with an Item beside it."""
    (tmp_path / f"{PEEL}.tif").symlink_to(shared_data / "peel_plateau" / f"{PEEL}.tif")
    asset = {
        "href": f"./{PEEL}.tif",
        "eo:bands": [{"name": name, "common_name": common} for name, common in PEEL_BANDS],
        "raster:bands": [{"scale": 1e-4, "offset": 0, "nodata": 0}] * 7,
    }
    make_item(
        tmp_path / f"{PEEL}.json",
        {"data": asset},
        platform="sentinel-2a",
        **{"grid:code": "MGRS-08WMA", "processing:level": "L1C"},
    )
    return tmp_path


def test_peel_plateau(peel):
    scene = only_scene(peel)
    assert scene.key == "T08WMA_20210821T210019_S2A"
    raw = read_scene(scene)
    assert list(raw) == ["blue", "green", "red", "B5", "B6", "B7", "nir"]
    with rasterio.open(peel / f"{PEEL}.tif") as source:
        np.testing.assert_array_equal(raw.to_dataarray(), source.read())
        assert raw.rio.transform() == source.transform
    assert raw.nir.attrs["_FillValue"] == 0
    assert raw.nir.dtype == np.uint16
    assert raw.attrs["processing_level"] == "L1C"


def test_landsat_of_peel_plateau_as_floats_with_nodata_of_minus_infinity(shared_data, tmp_path, make_item):
    name = "L8_LC08_139232_20210721"
    (tmp_path / f"{name}.tif").symlink_to(shared_data / "peel_plateau" / f"{name}.tif")
    names = ["blue", "green", "red", "nir08", "swir16", "swir22", "pan"]
    bands = [{"name": f"B{number}", "eo:common_name": common} for number, common in enumerate(names, start=2)]
    make_item(
        tmp_path / f"{name}.json",
        {"data": {"href": f"{name}.tif", "bands": bands}},
        platform="landsat-8",
        **{"grid:code": "WRS2-062012"},
    )
    scene = only_scene(tmp_path)
    assert (scene.tile, scene.sensor) == ("WRS2-062012", "LC08")
    raw = read_scene(scene)
    assert list(raw) == [*CORE, "swir16", "swir22", "pan"]
    assert set(raw.dtypes.values()) == {np.dtype("float32")}
    with rasterio.open(tmp_path / f"{name}.tif") as source:
        np.testing.assert_array_equal(raw.to_dataarray(), source.read())
        assert raw.rio.transform() == source.transform
    assert raw.nir.attrs["_FillValue"] == -np.inf
    assert (raw.nir.attrs["scale_factor"], raw.nir.attrs["add_offset"]) == (1, 0)


@pytest.mark.parametrize(
    ("name", "dtype", "most"),
    [("qa_pixel", "uint16", 65535), ("observations", "uint16", 300), ("cloud_probability", "uint8", 100)],
)
@pytest.mark.parametrize("described", [False, True])
def test_quality_layers_by_their_names(tmp_path, make_tiff, make_item, name, dtype, most, described):
    rng = np.random.default_rng(0)
    make_tiff(tmp_path / "a.tif", rng.integers(0, 9999, (4, 20, 20)).astype("uint16"))
    layer = make_tiff(tmp_path / "layer.tif", rng.integers(0, most, (1, 20, 20), endpoint=True).astype("uint16"))
    key, bands = ("mask", {"bands": [{"name": name}]}) if described else (name, {})
    make_item(tmp_path / "a.json", {"data": {"href": "a.tif", **eo_bands(CORE)}, key: {"href": "layer.tif", **bands}})
    raw = read_scene(only_scene(tmp_path))
    assert list(raw) == [*CORE, name]
    assert raw[name].dtype == dtype
    with rasterio.open(layer) as source:
        np.testing.assert_array_equal(raw[name], source.read(1))
    assert list(read_scene(only_scene(tmp_path), quality=())) == list(CORE)


def test_one_file_a_band_with_another_nodata(shared_data, tmp_path, make_item):
    assets = {}
    for name, code in zip(CORE, ("B02", "B03", "B04", "B08"), strict=True):
        file = f"ref_check_icor_S2_{code}.tif"
        (tmp_path / file).symlink_to(shared_data / "sentinel2_flanders" / "atmocorr" / file)
        assets[name] = {"href": file, **eo_bands([name])}
    make_item(tmp_path / "flanders.json", assets, constellation="sentinel-2", **{"s2:mgrs_tile": "31UES"})
    scene = only_scene(tmp_path)
    assert scene.tile == "T31UES"
    raw = read_scene(scene)
    with rasterio.open(tmp_path / "ref_check_icor_S2_B08.tif") as source:
        np.testing.assert_array_equal(raw.nir, source.read(1))
    assert {raw[name].attrs["_FillValue"].item() for name in CORE} == {65535}


def test_stac_1_1_bands_say_the_same_as_1_0(tmp_path, make_tiff, make_item):
    values = np.arange(4 * 20 * 30, dtype="int16").reshape(4, 20, 30)
    old = {"href": "a.tif", **eo_bands(CORE, nodata=-32768)}
    new = {
        "href": "a.tif",
        "raster:scale": 1e-4,
        "nodata": -32768,
        "bands": [{"name": name.upper(), "eo:common_name": name, "raster:offset": 0} for name in CORE],
    }
    attrs = []
    for version, asset in (("old", old), ("new", new)):
        make_tiff(tmp_path / version / "a.tif", values)
        make_item(tmp_path / version / "a.json", {"data": asset})
        raw = read_scene(only_scene(tmp_path / version))
        np.testing.assert_array_equal(raw.to_dataarray(), values)
        attrs.append([raw[name].attrs for name in CORE])
    assert attrs[0] == attrs[1]
    assert attrs[0][0]["_FillValue"] == -32768


@pytest.mark.parametrize(
    ("dtype", "stated", "in_file", "expected"),
    [
        ("uint16", 0, None, 0),
        ("uint16", None, 65535, 65535),
        ("uint16", 0, 65535, 0),
        ("float32", "-inf", None, -np.inf),
        ("float32", "nan", None, np.nan),
        ("uint16", None, None, None),
    ],
)
def test_nodata(tmp_path, make_tiff, make_item, dtype, stated, in_file, expected):
    make_tiff(tmp_path / "a.tif", np.ones((4, 8, 8), dtype), nodata=in_file)
    make_item(tmp_path / "a.json", {"data": {"href": "a.tif", **eo_bands(CORE, nodata=stated)}})
    raw = read_scene(only_scene(tmp_path))
    found = raw.red.attrs.get("_FillValue")
    if expected is None:
        assert found is None
    else:
        np.testing.assert_equal(found, np.dtype(dtype).type(expected))
    json.dumps(raw.attrs["stac_item"], allow_nan=False)


def test_scl_in_the_same_file_and_in_its_own(tmp_path, make_tiff, make_item):
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 12, (1, 10, 10)).astype("uint16")
    numbers = rng.integers(0, 9999, (4, 20, 20)).astype("uint16")
    make_tiff(tmp_path / "one" / "a.tif", np.concatenate([numbers, classes.repeat(2, 1).repeat(2, 2)]))
    make_item(tmp_path / "one" / "a.json", {"data": {"href": "a.tif", **eo_bands([*CORE, "scl"])}})
    make_tiff(tmp_path / "two" / "a.tif", numbers)
    make_tiff(tmp_path / "two" / "classes.tif", classes.astype("uint8"), size=20)
    assets = {"data": {"href": "a.tif", **eo_bands(CORE)}, "scl": {"href": "classes.tif"}}
    make_item(tmp_path / "two" / "any_name.json", assets)
    for layout in ("one", "two"):
        raw = read_scene(only_scene(tmp_path / layout))
        assert raw.scl.dtype == np.uint8
        np.testing.assert_array_equal(raw.scl, classes[0].repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize(
    ("asset", "message"),
    [
        ({"href": "../outside.tif"}, "outside the folder"),
        ({"href": "/etc/outside.tif"}, "outside the folder"),
        ({"href": "https://example.com/outside.tif"}, "outside the folder"),
        ({"href": "absent.tif"}, "missing: absent.tif"),
    ],
)
def test_assets_elsewhere_are_refused(tmp_path, make_tiff, make_item, asset, message):
    make_tiff(tmp_path / "a.tif", np.ones((4, 8, 8), "uint16"))
    make_item(tmp_path / "a.json", {"data": {"href": "a.tif", **eo_bands(CORE)}, "scl": asset})
    (refusal,) = find_scenes(str(tmp_path)).refusals
    assert message in refusal.reasons["geotiff"]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a STAC Item"),
        ('{"type": "Feature", "properties": {}}', "not a STAC Item"),
        ('{"type": "Feature", "stac_version": "1.0.0", "properties": {}, "assets": {}}', "no asset whose href"),
        (
            '{"type": "Feature", "stac_version": "1.0.0", "properties": {}, "assets": {"d": {"href": "a.tif"}}}',
            "describes the bands of no GeoTIFF",
        ),
    ],
)
def test_documents_that_describe_nothing(tmp_path, make_tiff, document, message):
    make_tiff(tmp_path / "a.tif", np.ones((4, 8, 8), "uint16"))
    (tmp_path / "a.json").write_text(document)
    assert message in find_scenes(str(tmp_path)).refusals[0].reasons["geotiff"]


@pytest.mark.parametrize("properties", [{"datetime": None}, {"datetime": "2021-08-21T21:00:19"}, {"platform": "../x"}])
def test_unusable_properties_are_refused(tmp_path, make_tiff, make_item, properties):
    make_tiff(tmp_path / "a.tif", np.ones((4, 8, 8), "uint16"))
    make_item(tmp_path / "a.json", {"data": {"href": "a.tif", **eo_bands(CORE)}}, **properties)
    assert find_scenes(str(tmp_path)).scenes == ()


def scene_of(folder: Path, make_item, bands=CORE, **raster):
    make_item(folder / "a.json", {"data": {"href": "a.tif", **eo_bands(bands, **raster)}})
    return only_scene(folder)


def test_missing_nir_is_named(tmp_path, make_tiff, make_item):
    make_tiff(tmp_path / "a.tif", np.ones((3, 8, 8), "uint16"))
    with pytest.raises(SceneError, match=r"nir missing\. The scene has blue, green, red"):
        read_scene(scene_of(tmp_path, make_item, CORE[:3]))


def test_no_crs(tmp_path, make_tiff, make_item):
    make_tiff(tmp_path / "a.tif", np.ones((4, 8, 8), "uint16"), crs=None)
    with pytest.raises(SceneError, match=r"a\.tif has no CRS"):
        read_scene(scene_of(tmp_path, make_item))


@pytest.mark.parametrize(
    "profile", [{}, {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}, {"interleave": "band"}]
)
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.9, 0.999])
def test_truncated(tmp_path, make_tiff, make_item, profile, kept):
    values = np.random.default_rng(0).integers(0, 9999, (4, 200, 150)).astype("uint16")
    path = make_tiff(tmp_path / "a.tif", values, **profile)
    scene = scene_of(tmp_path, make_item)
    np.testing.assert_array_equal(read_scene(scene).to_dataarray(), values)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(SceneError, match=r"a\.tif.*truncated"):
        read_scene(scene)


def test_damage_met_while_computing_names_the_file(tmp_path, make_tiff, make_item):
    values = np.random.default_rng(0).integers(0, 9999, (4, 64, 64)).astype("uint16")
    path = make_tiff(tmp_path / "a.tif", values, compress="deflate")
    raw = read_scene(scene_of(tmp_path, make_item))
    content = bytearray(path.read_bytes())
    quarter = len(content) // 4
    content[quarter : 3 * quarter] = b"\xff" * (2 * quarter)
    path.write_bytes(content)
    with pytest.raises(SceneError, match=r"a\.tif is damaged"):
        raw.compute()


def test_a_vrt_in_disguise_is_not_opened(tmp_path, make_tiff, make_item):
    other = make_tiff(tmp_path / "elsewhere" / "secret.tif", np.ones((4, 8, 8), "uint16"))
    folder = tmp_path / "in"
    folder.mkdir()
    source = f'<SourceFilename relativeToVRT="0">{other}</SourceFilename><SourceBand>1</SourceBand>'
    band = f'<VRTRasterBand dataType="UInt16" band="1"><SimpleSource>{source}</SimpleSource></VRTRasterBand>'
    (folder / "a.tif").write_text(f'<VRTDataset rasterXSize="8" rasterYSize="8">{band * 4}</VRTDataset>')
    with pytest.raises(SceneError, match=r"a\.tif cannot be read"):
        read_scene(scene_of(folder, make_item))


def test_integers_without_a_scale_are_not_guessed(tmp_path, make_tiff, make_item):
    make_tiff(tmp_path / "a.tif", np.ones((4, 8, 8), "uint16"))
    with pytest.raises(SceneError, match="nothing says how they become reflectance"):
        read_scene(scene_of(tmp_path, make_item, scale=None, offset=None))


def test_nodata_that_the_file_cannot_hold(tmp_path, make_tiff, make_item):
    make_tiff(tmp_path / "a.tif", np.ones((4, 8, 8), "uint16"))
    with pytest.raises(SceneError, match="-9999 of blue is no number that uint16 can hold"):
        read_scene(scene_of(tmp_path, make_item, nodata=-9999))


def test_bands_on_different_grids(tmp_path, make_tiff, make_item):
    assets = {}
    for name in CORE:
        edge = 10 if name == "nir" else 20
        make_tiff(tmp_path / f"{name}.tif", np.ones((1, edge, edge), "uint16"), size=200 // edge)
        assets[name] = {"href": f"{name}.tif", **eo_bands([name])}
    make_item(tmp_path / "item.json", assets)
    with pytest.raises(SceneError, match=r"nir\.tif lies on another grid"):
        read_scene(only_scene(tmp_path))


def test_stac_item_is_valid(peel):
    pystac = pytest.importorskip("pystac")
    validation = pytest.importorskip("jsonschema") and pytest.importorskip("pystac.validation.local_validator")
    schema = validation.get_local_schema_cache()
    from jsonschema import Draft7Validator
    from referencing import Registry, Resource

    item = read_scene(only_scene(peel)).attrs["stac_item"]
    item = json.loads(json.dumps(item, allow_nan=False))
    registry = Registry().with_resources((uri, Resource.from_contents(text)) for uri, text in schema.items())
    core = next(text for uri, text in schema.items() if uri.endswith("item-spec/json-schema/item.json"))
    Draft7Validator(core, registry=registry).validate(item)
    read = pystac.Item.from_dict(item)
    assert read.properties["proj:code"] == "EPSG:32608"
    assert read.properties["gsd"] == 10
    assert read.assets["blue_green_red_B5_B6_B7_nir"].href == f"./{PEEL}.tif"


def test_footprint_in_two_parts_at_the_antimeridian():
    from affine import Affine
    from shapely.geometry import box

    from darts_core.grids import Grid
    from darts_core.scenes.stac import footprint

    # tile T01WCP, whose western edge lies beyond 180 degrees
    outline, (west, south, east, north) = footprint(
        Grid(CRS.from_epsg(32601), Affine(60, 0, 300000, 0, -60, 7400040), 1830, 1830)
    )
    assert outline.geom_type == "MultiPolygon"
    assert west > 178 > east > -180
    assert 65 < south < north < 67
    assert box(-180, -90, 180, 90).contains(outline)
    assert outline.area < 6
