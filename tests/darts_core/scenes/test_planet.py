"""PlanetScope orders in the layouts that users have."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio

from darts_core.scenes import SceneError, find_scenes, read_scene

FIELDS = {
    "acquired": "2022-07-16T21:00:19.975Z",
    "satellite_id": "2427",
    "strip_id": "5824971",
    "cloud_cover": 0.25,
    "item_type": "PSScene",
}
FOUR = ["blue", "green", "red", "nir"]
EIGHT = ["coastal", "blue", "green_i", "green", "yellow", "red", "rededge", "nir"]
KEY = "5824971_20220716T210019.975000_PS2427"


@pytest.mark.parametrize(
    ("suffix", "names"),
    [
        ("_3B_AnalyticMS_SR", FOUR),
        ("_3B_AnalyticMS_SR_clip", FOUR),
        ("_BGRN_SR", FOUR),
        ("_3B_AnalyticMS_SR_harmonized", FOUR),
        ("_3B_AnalyticMS_SR_harmonized_clip", FOUR),
        ("_3B_AnalyticMS_SR_8b", EIGHT),
        ("_3B_AnalyticMS_SR_8b_harmonized_clip", EIGHT),
    ],
)
@pytest.mark.parametrize("fields", [FIELDS, {"id": "x", "type": "Feature", "properties": FIELDS}])
def test_names_of_products(tmp_path, make_planet, suffix, names, fields):
    path = make_planet(tmp_path, suffix, bands=len(names), metadata=fields, nodata=0)
    findings = find_scenes(str(tmp_path))
    (scene,) = findings.scenes
    assert not findings.refusals
    assert (scene.reader, scene.key, scene.url) == ("planet", KEY, str(path))
    raw = read_scene(scene)
    assert list(raw) == [*names, "udm2"]
    with rasterio.open(path) as source:
        np.testing.assert_array_equal(np.stack([raw[name] for name in names]), source.read())
    assert raw.udm2.dims == ("udm2_band", "y", "x")
    assert raw.udm2.dtype == np.uint8
    assert raw.udm2.shape == (8, 40, 50)
    packing = {name: raw.nir.attrs[name] for name in ("scale_factor", "add_offset", "_FillValue")}
    assert packing == {"scale_factor": 1e-4, "add_offset": 0.0, "_FillValue": 0}
    assert raw.attrs["stac_item"]["properties"]["eo:cloud_cover"] == 25


def test_udm2_is_exact(tmp_path, make_planet):
    make_planet(tmp_path, "_3B_AnalyticMS_SR", metadata=FIELDS)
    (scene,) = find_scenes(str(tmp_path)).scenes
    with rasterio.open(next(tmp_path.glob("*udm2.tif"))) as source:
        np.testing.assert_array_equal(read_scene(scene).udm2, source.read())


@pytest.mark.parametrize(
    ("suffix", "mask"),
    [
        ("_3B_AnalyticMS_SR", "_3B_AnalyticMS_DN_udm.tif"),
        ("_3B_AnalyticMS_SR_clip", "_3B_AnalyticMS_DN_udm_clip.tif"),
        ("_BGRN_SR", "_BGRN_DN_udm.tif"),
    ],
)
def test_the_mask_of_before_udm2(tmp_path, make_planet, make_tiff, suffix, mask):
    """It is read where there is no UDM 2, and only there."""
    path = make_planet(tmp_path / "old", suffix, metadata=FIELDS, udm2=False)
    bits = np.random.default_rng(3).integers(0, 256, (1, 40, 50)).astype("uint8")
    make_tiff(path.with_name(f"20220716_210019_97_2427{mask}"), bits, size=3)
    findings = find_scenes(str(tmp_path / "old"))
    assert not findings.refusals
    raw = read_scene(findings.scenes[0])
    np.testing.assert_array_equal(raw.udm, bits[0])
    assert raw.attrs["stac_item"]["properties"]["planet:udm2"] is False

    path = make_planet(tmp_path / "new", suffix, metadata=FIELDS)
    make_tiff(path.with_name(f"20220716_210019_97_2427{mask}"), bits, size=3)
    assert "udm" not in read_scene(find_scenes(str(tmp_path / "new")).scenes[0])


def test_the_sun_of_the_metadata(tmp_path, make_planet):
    make_planet(tmp_path, "_3B_AnalyticMS_SR", metadata={**FIELDS, "sun_azimuth": 166.2, "sun_elevation": 42})
    properties = read_scene(find_scenes(str(tmp_path)).scenes[0]).attrs["stac_item"]["properties"]
    assert (properties["view:sun_azimuth"], properties["view:sun_elevation"]) == (166.2, 42)


def test_many_scenes_flat_in_one_folder(tmp_path, make_planet):
    items = ["20220716_210019_97_2427", "20220716_210021_97_2427", "20160715_200000_0e26"]
    for item in items:
        make_planet(tmp_path, "_3B_AnalyticMS_SR", item=item)
    scenes = find_scenes(str(tmp_path)).scenes
    assert sorted(scene.product_id for scene in scenes) == sorted(items)
    assert all(all(name.startswith(scene.product_id) for name in scene.files) for scene in scenes)
    assert {scene.key for scene in scenes} >= {
        "PSScene_20160715T200000_PS0e26",
        "PSScene_20220716T210019.970000_PS2427",
    }


def test_products_in_folders_of_their_own_below_the_metadata(tmp_path, make_planet):
    item = tmp_path / "order" / "PSScene" / "20220716_210019_97_2427"
    make_planet(item, "_3B_AnalyticMS_SR", metadata=FIELDS)
    for name, home in {"SR.tif": "analytic_sr", "udm2.tif": "udm2"}.items():
        (item / home).mkdir()
        (path,) = item.glob(f"*{name}")
        path.rename(item / home / path.name)
    (scene,) = find_scenes(str(tmp_path)).scenes
    assert (scene.key, scene.url) == (KEY, str(item))
    assert len(scene.files) == 3
    assert "udm2" in read_scene(scene)


def test_order_in_a_zip(tmp_path, make_planet):
    make_planet(tmp_path / "order" / "files", "_3B_AnalyticMS_SR", metadata=FIELDS)
    make_planet(tmp_path / "order" / "files", "_3B_AnalyticMS_SR", item="20220716_210021_97_2427")
    archive = shutil.make_archive(str(tmp_path / "order"), "zip", tmp_path / "order")
    scenes = find_scenes(archive).scenes
    assert len(scenes) == 2
    raw = read_scene(scenes[0])
    assert raw.sizes["x"] == 50
    raw.close()


def test_orthotile(tmp_path, make_planet):
    name = "4372514_5352215_2022-07-16_2465"
    make_planet(
        tmp_path / "with", "_BGRN_SR", item=name, metadata={**FIELDS, "satellite_id": "2465", "grid_cell": "5352215"}
    )
    make_planet(tmp_path / "without", "_BGRN_SR", item=name)
    (with_metadata,) = find_scenes(str(tmp_path / "with")).scenes
    (without,) = find_scenes(str(tmp_path / "without")).scenes
    assert with_metadata.key == "5352215_20220716T210019.975000_PS2465"
    assert without.key == "5352215_20220716T000000_PS2465"
    properties = read_scene(without).attrs["stac_item"]["properties"]
    assert properties["planet:acquired_from"] == "file name, day only"


def test_without_a_mask_the_item_says_so(tmp_path, make_planet):
    make_planet(tmp_path, "_3B_AnalyticMS_SR", metadata=FIELDS, udm2=False)
    (scene,) = find_scenes(str(tmp_path)).scenes
    raw = read_scene(scene)
    assert "udm2" not in raw
    assert raw.attrs["stac_item"]["properties"]["planet:udm2"] is False


@pytest.mark.parametrize(
    ("suffix", "bands", "descriptions", "message"),
    [
        ("_3B_AnalyticMS_SR", 3, None, "expected the 4 bands blue, green, red, nir, the file has 3"),
        ("_3B_AnalyticMS_SR_8b", 4, None, "the file has 4"),
        ("_3B_AnalyticMS_SR", 4, ["red", "green", "blue", "nir"], "band 1 is 'red'"),
    ],
)
def test_a_file_that_is_not_what_its_name_says(tmp_path, make_planet, suffix, bands, descriptions, message):
    make_planet(tmp_path, suffix, bands=bands, descriptions=descriptions)
    (scene,) = find_scenes(str(tmp_path)).scenes
    with pytest.raises(SceneError, match=message):
        read_scene(scene)


@pytest.mark.parametrize(
    ("item", "suffix", "message"),
    [
        ("20220716_210019_97_2427", "_3B_AnalyticMS", "not surface reflectance"),
        ("20220716_210019_97_2427", "_3B_Visual", "not surface reflectance"),
        ("20221316_210019_97_2427", "_3B_AnalyticMS_SR", "no possible acquisition time"),
        ("composite", "", "not named as PlanetScope"),
    ],
)
def test_refusals(tmp_path, make_planet, item, suffix, message):
    make_planet(tmp_path, suffix, item=item, udm2=False)
    findings = find_scenes(str(tmp_path))
    assert not findings.scenes
    assert message in findings.refusals[0].reasons["planet"]
    assert set(findings.refusals[0].reasons) == {"sentinel2", "landsat", "planet", "geotiff"}


def test_hostile_metadata_is_refused(tmp_path, make_planet):
    for number, field in enumerate([{"strip_id": "../../x"}, {"satellite_id": "a/b"}, {"acquired": "yesterday"}]):
        make_planet(tmp_path / str(number), "_3B_AnalyticMS_SR", metadata={**FIELDS, **field})
        assert find_scenes(str(tmp_path / str(number))).scenes == ()


def test_file_that_vanished_is_named(tmp_path, make_planet):
    path = make_planet(tmp_path, "_3B_AnalyticMS_SR", metadata=FIELDS)
    (scene,) = find_scenes(str(tmp_path)).scenes
    Path(path).unlink()
    with pytest.raises(SceneError, match=path.name):
        read_scene(scene)
