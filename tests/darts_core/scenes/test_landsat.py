"""Landsat 8/9 Collection 2 products, as folder, tar and zip, of both levels."""

import io
import math
import shutil
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio

from darts_core.preprocessing.reflectance import reflectance
from darts_core.scenes import SceneError, find_scenes, read_scene, scene_digest

CORE = ("blue", "green", "red", "nir")
NUMBERS = {"coastal": 1, "blue": 2, "green": 3, "red": 4, "nir": 5, "swir16": 6, "swir22": 7, "cirrus": 9}
KEY = "062012_20210721T201234.123456_LC08"


def only_scene(folder):
    findings = find_scenes(str(folder))
    assert len(findings.scenes) == 1, findings.refusals
    assert not findings.refusals
    return findings.scenes[0]


def delivered(product: Path, ending: str) -> np.ndarray:
    (path,) = product.glob(f"*_{ending}.TIF")
    with rasterio.open(path) as source:
        return source.read(1)


def archive(product: Path, path: Path, kind: str) -> Path:
    """The files of a product without a folder around them, as the USGS delivers a tar."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.make_archive(str(path / product.name), kind, product))


@pytest.mark.parametrize("ending", ["json", "xml", "txt"])
@pytest.mark.parametrize("level", ["L2SP", "L1TP"])
def test_every_form_of_the_metadata_says_the_same(tmp_path, make_landsat, level, ending):
    product = make_landsat(tmp_path, level=level, formats=(ending,))
    scene = only_scene(tmp_path)
    assert (scene.key, scene.reader, scene.product_id) == (KEY, "landsat", product.name)
    assert scene.acquired == datetime(2021, 7, 21, 20, 12, 34, 123456, UTC)
    raw = read_scene(scene)
    assert list(raw) == [*CORE, "swir16", "swir22", "qa_pixel"]
    prefix = "SR_B" if level == "L2SP" else "B"
    for name in (*CORE, "swir16", "swir22"):
        np.testing.assert_array_equal(raw[name], delivered(product, f"{prefix}{NUMBERS[name]}"))
    np.testing.assert_array_equal(raw.qa_pixel, delivered(product, "QA_PIXEL"))
    assert raw.qa_pixel.dtype == raw.red.dtype == np.uint16
    assert raw.attrs["processing_level"] == level
    properties = raw.attrs["stac_item"]["properties"]
    assert properties["platform"] == "landsat-8"
    assert properties["grid:code"] == "WRS2-062012"
    assert (properties["eo:cloud_cover"], properties["view:sun_elevation"]) == (12.34, 42.5)


def test_surface_reflectance_is_that_of_the_metadata(tmp_path, make_landsat):
    product = make_landsat(tmp_path)
    values = reflectance(read_scene(only_scene(tmp_path)), ["red"])["red"].to_numpy()
    numbers = delivered(product, "SR_B4").astype(float)
    # below -0.0999 and above 6.45 the product cannot store
    expected = np.where(numbers == 0, np.nan, np.maximum(numbers * 0.0000275 - 0.2, -0.0999))
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)
    assert np.isnan(values).any()


def test_top_of_atmosphere_reflectance_is_corrected_for_the_sun(tmp_path, make_landsat):
    product = make_landsat(tmp_path, level="L1TP")
    values = reflectance(read_scene(only_scene(tmp_path)), ["nir"])["nir"].to_numpy()
    numbers = delivered(product, "B5").astype(float)
    expected = np.where(numbers == 0, np.nan, (numbers * 2e-5 - 0.1) / math.sin(math.radians(42.5)))
    np.testing.assert_allclose(values, np.maximum(expected, -0.0999), rtol=1e-5, atol=1e-6)


def test_other_coefficients_are_taken_from_the_metadata(tmp_path, make_landsat):
    def change(groups):
        groups["LEVEL2_SURFACE_REFLECTANCE_PARAMETERS"]["REFLECTANCE_MULT_BAND_4"] = "3.0E-05"

    make_landsat(tmp_path, change=change)
    raw = read_scene(only_scene(tmp_path))
    assert raw.red.attrs["scale_factor"] == 3e-5
    assert raw.green.attrs["scale_factor"] == 2.75e-5
    assert raw.red.attrs["_FillValue"] == 0


def test_further_bands_and_no_quality_on_request(tmp_path, make_landsat):
    product = make_landsat(tmp_path, level="L1TP")
    raw = read_scene(only_scene(tmp_path), bands=["cirrus", "nir08"], quality=())
    assert list(raw) == ["cirrus", "nir08"]
    np.testing.assert_array_equal(raw["cirrus"], delivered(product, "B9"))
    np.testing.assert_array_equal(raw["nir08"], delivered(product, "B5"))
    with pytest.raises(SceneError, match="expected pixels of 10 m"):
        read_scene(only_scene(tmp_path), resolution=10)
    with pytest.raises(SceneError, match="quality layers scl; scl missing"):
        read_scene(only_scene(tmp_path), quality=["scl"])


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize("nested", [False, True])
def test_an_archive_is_the_folder(tmp_path, make_landsat, kind, nested):
    product = make_landsat(tmp_path / "folder")
    packed = archive(product.parent if nested else product, tmp_path / "packed", kind)
    raw, unpacked = read_scene(only_scene(product)), read_scene(only_scene(packed))
    assert raw.attrs["scene"] == unpacked.attrs["scene"] == KEY
    for name in raw:
        np.testing.assert_array_equal(raw[name], unpacked[name])


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_in_an_object_store_it_is_the_same_scene(tmp_path, make_landsat, bucket, form):
    import s3fs

    options, root = bucket
    local = make_landsat(tmp_path) if form == "folder" else archive(make_landsat(tmp_path), tmp_path / "packed", "tar")
    prefix = f"{root}/landsat-{form}"
    s3fs.S3FileSystem(**options).put(str(local), f"{prefix}/{local.name}", recursive=local.is_dir())
    (scene,) = find_scenes(prefix, options).scenes
    assert scene.url.startswith(prefix)
    raw = read_scene(scene, storage_options=options)
    for name, array in read_scene(only_scene(local)).items():
        np.testing.assert_array_equal(raw[name], array)
    assert scene_digest(scene, options) == scene_digest(scene, options)


def test_files_of_a_product_are_no_scenes_of_their_own(tmp_path, make_landsat, make_tiff):
    """Two products in one folder without folders of their own, and a file of neither."""
    for path_row in ("062012", "063012"):
        product = make_landsat(tmp_path / "made", path_row=path_row)
        (tmp_path / "flat").mkdir(exist_ok=True)
        for path in product.iterdir():
            path.rename(tmp_path / "flat" / path.name)
    make_tiff(tmp_path / "flat" / "dem.tif", np.ones((1, 8, 8), "float32"))
    findings = find_scenes(str(tmp_path))
    assert [scene.tile for scene in findings.scenes] == ["062012", "063012"]
    assert [Path(refusal.url).name for refusal in findings.refusals] == ["dem.tif"]
    assert [read_scene(scene).attrs["tile"] for scene in findings.scenes] == ["062012", "063012"]


def test_of_two_products_of_one_acquisition_surface_reflectance_and_then_the_later_is_the_scene(tmp_path, make_landsat):
    make_landsat(tmp_path, level="L1TP", processed="20220101")
    make_landsat(tmp_path, processed="20210729")
    newest = make_landsat(tmp_path, processed="20210801")
    findings = find_scenes(str(tmp_path))
    assert [scene.product_id for scene in findings.scenes] == [newest.name]
    assert len(findings.refusals) == 2


def test_every_missing_file_is_named(tmp_path, make_landsat):
    product = make_landsat(tmp_path)
    for ending in ("SR_B4", "QA_PIXEL"):
        next(product.glob(f"*_{ending}.TIF")).unlink()
    scene = only_scene(tmp_path)
    with pytest.raises(SceneError, match=r"(?s)2 of the files.*QA_PIXEL\.TIF.*SR_B4\.TIF"):
        read_scene(scene)


def test_bands_without_their_metadata_are_refused_with_the_reason(tmp_path, make_landsat):
    product = make_landsat(tmp_path, formats=())
    findings = find_scenes(str(product))
    assert not findings.scenes
    reasons = [refusal.reasons["landsat"] for refusal in findings.refusals]
    assert reasons == [f"a file of {product.name}, whose _MTL.json, .xml or .txt is missing beside it; deliver it"] * 9


@pytest.mark.parametrize(
    ("group", "field", "value", "message"),
    [
        ("PRODUCT_CONTENTS", "LANDSAT_PRODUCT_ID", "LE07_L2SP_062012_20210721_20210729_02_T1", "Landsat 8 or 9"),
        ("PRODUCT_CONTENTS", "PROCESSING_LEVEL", "L2ST", "expected the level"),
        ("PRODUCT_CONTENTS", "COLLECTION_NUMBER", "01", "Collection 2"),
        ("PRODUCT_CONTENTS", "FILE_NAME_BAND_4", "../../secret.tif", "outside the folder"),
        ("PRODUCT_CONTENTS", "FILE_NAME_BAND_4", "/etc/secret.tif", "outside the folder"),
        ("PRODUCT_CONTENTS", "FILE_NAME_QUALITY_L1_PIXEL", "", "FILE_NAME_QUALITY_L1_PIXEL"),
        ("IMAGE_ATTRIBUTES", "DATE_ACQUIRED", "", "no DATE_ACQUIRED"),
        ("IMAGE_ATTRIBUTES", "SCENE_CENTER_TIME", "noon", "acquisition time"),
        ("IMAGE_ATTRIBUTES", "WRS_PATH", "sixty", "number as WRS_PATH"),
    ],
)
def test_metadata_that_cannot_be_used_is_refused(tmp_path, make_landsat, group, field, value, message):
    make_landsat(tmp_path, formats=("json",), change=lambda groups: groups[group].update({field: value}))
    (refusal,) = find_scenes(str(tmp_path)).refusals
    assert message in refusal.reasons["landsat"]
    assert "_MTL.json" in refusal.reasons["landsat"]


@pytest.mark.parametrize(("level", "field"), [("L1TP", "SUN_ELEVATION"), ("L2SP", "REFLECTANCE_ADD_BAND_3")])
@pytest.mark.parametrize("value", ["", "-3 or so", "inf"])
def test_coefficients_that_are_no_numbers_are_named(tmp_path, make_landsat, level, field, value):
    def change(groups):
        (group,) = (g for name, g in groups.items() if field in g and not (level == "L2SP" and "LEVEL1" in name))
        group[field] = value

    make_landsat(tmp_path, level=level, change=change)
    with pytest.raises(SceneError, match=field):
        read_scene(only_scene(tmp_path))


def test_a_night_scene_has_no_reflectance(tmp_path, make_landsat):
    make_landsat(tmp_path, level="L1TP", change=lambda groups: groups["IMAGE_ATTRIBUTES"].update(SUN_ELEVATION="-12.5"))
    with pytest.raises(SceneError, match=r"SUN_ELEVATION in 0\.\.90 degrees, received -12\.5"):
        read_scene(only_scene(tmp_path))


@pytest.mark.parametrize(
    ("ending", "content"),
    [
        ("json", "{"),
        ("json", "[1, 2]"),
        ("json", '{"LANDSAT_METADATA_FILE": []}'),
        ("xml", "<LANDSAT_METADATA_FILE>"),
        (
            "xml",
            '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><LANDSAT_METADATA_FILE>&a;</LANDSAT_METADATA_FILE>',
        ),
        ("xml", "<other/>"),
        ("txt", "GROUP = LANDSAT_METADATA_FILE\n  GROUP = PRODUCT_CONTENTS\n"),
        ("txt", "END_GROUP = PRODUCT_CONTENTS\n"),
        ("txt", ""),
    ],
)
def test_metadata_that_is_damaged_or_hostile_is_refused(tmp_path, make_landsat, ending, content):
    product = make_landsat(tmp_path, formats=(ending,))
    next(product.glob("*_MTL.*")).write_text(content)
    (refusal,) = find_scenes(str(tmp_path)).refusals
    assert f"_MTL.{ending}" in refusal.reasons["landsat"]


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("../outside.tif", tarfile.REGTYPE, "outside the folder"),
        ("/etc/outside.tif", tarfile.REGTYPE, "outside the folder"),
        ("link.tif", tarfile.SYMTYPE, "no ordinary file"),
        ("link.tif", tarfile.LNKTYPE, "no ordinary file"),
        ("device.tif", tarfile.CHRTYPE, "no ordinary file"),
    ],
)
def test_a_hostile_tar_is_refused(tmp_path, name, kind, message):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/hostname"
    member.size = 1 if kind == tarfile.REGTYPE else 0
    with tarfile.open(tmp_path / "evil.tar", "w") as evil:
        evil.addfile(member, io.BytesIO(b"x"))
    (refusal,) = find_scenes(str(tmp_path)).refusals
    assert all(message in text for text in refusal.reasons.values())


@pytest.mark.parametrize("content", [b"", b"no tar at all", b"\x1f\x8b\x08"])
def test_what_is_no_tar_is_refused(tmp_path, content):
    (tmp_path / "broken.tar").write_bytes(content)
    (refusal,) = find_scenes(str(tmp_path)).refusals
    assert "not a whole tar" in refusal.reasons["landsat"]


def test_a_tar_that_was_cut_off_is_named(tmp_path, make_landsat):
    packed = archive(make_landsat(tmp_path / "folder"), tmp_path / "packed", "tar")
    scene = only_scene(packed)
    packed.write_bytes(packed.read_bytes()[: packed.stat().st_size // 2])
    with pytest.raises(SceneError, match=r"\.tar"):
        read_scene(scene)
