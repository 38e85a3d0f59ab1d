"""Sentinel-2 products, real and small synthetic ones."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio

from darts_core.scenes import SceneError, find_scenes, read_scene
from darts_core.scenes.quality import LOW, quality_from_cloud_probability

T29UNU = "sentinel2_l2a_T29UNU"


def read_jp2(safe: Path, ending: str) -> np.ndarray:
    (path,) = safe.rglob(f"*{ending}.jp2")
    with rasterio.open(path) as source:
        return source.read(1)


def only_scene(url: Path, options=None):
    (scene,) = find_scenes(str(url), options).scenes
    return scene


def test_missing_10m_bands_are_all_named(shared_data):
    scene = only_scene(shared_data / T29UNU)
    with pytest.raises(SceneError) as caught:
        read_scene(scene)
    for code in ("B02", "B03", "B04", "B08"):
        assert f"T29UNU_20221005T115411_{code}_10m.jp2" in str(caught.value)
    assert "SCL" not in str(caught.value)


def test_60m_bands_of_a_real_product(shared_data):
    scene = only_scene(shared_data / T29UNU)
    raw = read_scene(scene, resolution=60)
    safe = Path(scene.url)
    for name, ending in {"blue": "B02_60m", "nir": "B8A_60m", "scl": "SCL_60m"}.items():
        np.testing.assert_array_equal(raw[name], read_jp2(safe, ending))
    assert raw.rio.crs.to_epsg() == 32629
    assert (raw.x[0], raw.y[0]) == (499980 + 30, 5900040 - 30)
    assert {raw[name].attrs["add_offset"] for name in ("blue", "green", "red", "nir")} == {-0.1}
    assert raw.blue.attrs["scale_factor"] == 1e-4
    assert raw.blue.attrs["_FillValue"] == 0
    assert float((raw.blue == 0).mean()) == pytest.approx(0.40, abs=0.01)
    assert raw.attrs["stac_item"]["properties"]["eo:cloud_cover"] == pytest.approx(59.769726)


def test_probabilities_of_a_real_product_on_request(shared_data):
    scene = only_scene(shared_data / T29UNU)
    assert not {"cloud_probability", "snow_probability"} & set(read_scene(scene, resolution=60))
    wanted = ["cloud_probability", "snow_probability", "scl"]
    raw = read_scene(scene, resolution=60, bands=["red"], quality=wanted).load()
    assert list(raw) == ["red", *wanted]
    for name, ending in {"cloud_probability": "MSK_CLDPRB_60m", "snow_probability": "MSK_SNWPRB_60m"}.items():
        np.testing.assert_array_equal(raw[name], read_jp2(Path(scene.url), ending))
    # what Sen2Cor itself calls cloud, and what it calls vegetation, soil or water
    low = quality_from_cloud_probability(raw.cloud_probability) == LOW
    assert float(low.where(raw.scl.isin([8, 9])).mean()) > 0.9
    assert float(low.where(raw.scl.isin([4, 5, 6])).mean()) < 0.001


def test_the_sun_over_real_tiles(shared_data):
    """Mean zenith and azimuth of the tile, as written in MTD_TL.xml."""
    raw = read_scene(only_scene(shared_data / T29UNU), resolution=60)
    properties = raw.attrs["stac_item"]["properties"]
    assert properties["view:sun_elevation"] == pytest.approx(90 - 57.820574357679)
    assert properties["view:sun_azimuth"] == pytest.approx(172.840206897213)


def test_a_broken_tile_document_is_named(tmp_path, make_safe):
    safe = make_safe(tmp_path)
    (granule,) = (safe / "GRANULE").iterdir()
    assert "view:sun_azimuth" not in read_scene(only_scene(safe)).attrs["stac_item"]["properties"]
    for content, message in (("<a", "not valid XML"), ("<a><Mean_Sun_Angle/></a>", "Mean_Sun_Angle")):
        (granule / "MTD_TL.xml").write_text(content)
        with pytest.raises(SceneError, match=rf"MTD_TL\.xml.*{message}"):
            read_scene(only_scene(safe))


@pytest.mark.parametrize("metres", [20, 60])
def test_a_coarser_probability_is_repeated(tmp_path, make_safe, make_jp2, metres):
    safe = make_safe(tmp_path)
    (granule,) = (safe / "GRANULE").iterdir()
    values = np.random.default_rng(2).integers(0, 101, (1200 // metres, 1200 // metres)).astype("uint8")
    make_jp2(granule / "QI_DATA" / f"MSK_CLDPRB_{metres}m.jp2", values, metres)
    raw = read_scene(only_scene(safe), quality=["cloud_probability"])
    zoom = metres // 10
    np.testing.assert_array_equal(raw.cloud_probability, values.repeat(zoom, 0).repeat(zoom, 1))
    with pytest.raises(SceneError, match="snow_probability missing"):
        read_scene(only_scene(safe), quality=["snow_probability"])


@pytest.mark.parametrize("chunk", [1, 64, 10**6])
def test_how_it_is_cut_does_not_change_what_is_read(tmp_path, make_safe, chunk):
    scene = only_scene(make_safe(tmp_path))
    raw = read_scene(scene, chunk=chunk)
    if chunk > 120:
        assert all(array.data.npartitions == 1 for array in raw.values())
    for name, array in read_scene(scene).items():
        np.testing.assert_array_equal(raw[name], array)


def test_further_bands_on_request(shared_data):
    raw = read_scene(only_scene(shared_data / T29UNU), resolution=60, bands=["swir16", "nir"])
    assert list(raw) == ["swir16", "nir", "scl"]


def test_scl_is_repeated_and_never_decimated(shared_data, tmp_path, make_safe):
    safe = make_safe(tmp_path)
    raw = read_scene(only_scene(safe))
    delivered = read_jp2(safe, "SCL_20m")
    assert raw.scl.dtype == np.uint8
    np.testing.assert_array_equal(raw.scl, delivered.repeat(2, 0).repeat(2, 1))

    real = only_scene(shared_data / T29UNU)
    scl = read_jp2(Path(real.url), "SCL_20m")
    from darts_core.scenes.rasters import lazy_bands, open_raster

    (path,) = Path(real.url).rglob("*SCL_20m.jp2")
    raster = open_raster(path, "SCL")
    tenfold = lazy_bands(raster, (1,), zoom=2)
    corner = np.s_[0, 4000:7001, 4001:7000]
    np.testing.assert_array_equal(tenfold[corner], scl.repeat(2, 0).repeat(2, 1)[corner[1:]])


@pytest.mark.parametrize(
    ("tile", "key"),
    [
        ("T01WCP", "T01WCP_20230625T234621.024000_S2A"),
        ("T33XWJ", "T33XWJ_20220413T150759.024000_S2B"),
        ("T34TET", "T34TET_20230908T093041.024000_S2A"),
    ],
)
def test_metadata_of_real_products(shared_data, tile, key):
    (scene,) = (s for s in find_scenes(str(shared_data / "safe_metadata")).scenes if s.tile == tile)
    assert scene.key == key
    assert Path(scene.url).name == f"{scene.product_id}.SAFE"
    from darts_core.scenes.opening import open_scene
    from darts_core.scenes.sentinel2 import read_metadata

    product = read_metadata(open_scene(scene, None), scene.files[0])
    assert product.offsets == dict.fromkeys(range(13), -1000.0)
    assert product.quantification == 10000
    assert product.nodata == 0
    assert ("B02", 10) in product.images
    with pytest.raises(SceneError, match=r"_B08(_10m)?\.jp2"):
        read_scene(scene)


@pytest.mark.parametrize("level", ["L2A", "L1C"])
@pytest.mark.parametrize(("baseline", "offset", "expected"), [("05.09", -1000, -0.1), ("03.01", None, 0.0)])
def test_offset_is_the_product_s_own(tmp_path, make_safe, level, baseline, offset, expected):
    safe = make_safe(tmp_path, level=level, baseline=baseline, offset=offset)
    raw = read_scene(only_scene(tmp_path))
    assert [raw[name].attrs["add_offset"] for name in ("blue", "green", "red", "nir")] == [expected] * 4
    np.testing.assert_array_equal(raw.nir, read_jp2(safe, "B08_10m" if level == "L2A" else "B08"))
    assert ("scl" in raw) == (level == "L2A")
    assert raw.attrs["processing_level"] == level


def test_zip_is_the_folder(tmp_path, make_safe):
    safe = make_safe(tmp_path / "folder")
    archive = shutil.make_archive(str(tmp_path / "zips" / "delivery"), "zip", safe.parent)
    raw, zipped = read_scene(only_scene(safe)), read_scene(only_scene(Path(archive)))
    np.testing.assert_array_equal(raw.to_dataarray(), zipped.to_dataarray())
    assert zipped.attrs["scene"] == raw.attrs["scene"]


def test_copies_out_of_a_zip_go_with_the_dataset(tmp_path, make_safe, monkeypatch):
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    archive = shutil.make_archive(str(tmp_path / "delivery"), "zip", make_safe(tmp_path / "folder").parent)
    raw = read_scene(only_scene(Path(archive)))
    copies = list((tmp_path / "scratch").rglob("*.jp2"))
    assert len(copies) == 5
    raw.close()
    assert not any((tmp_path / "scratch").iterdir())


@pytest.mark.parametrize("name", ["../outside.tif", "/etc/outside.tif", "a/../../outside.tif"])
def test_zip_that_points_outside_is_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr(name, b"x")
    (refusal,) = find_scenes(str(tmp_path)).refusals
    assert all("outside the folder" in text for text in refusal.reasons.values())


def test_damaged_member_of_a_zip_is_named(tmp_path, make_safe):
    safe = make_safe(tmp_path / "folder")
    archive = Path(shutil.make_archive(str(tmp_path / "delivery"), "zip", safe.parent))
    scene = only_scene(archive)
    with zipfile.ZipFile(archive) as whole:
        place = next(m for m in whole.infolist() if m.filename.endswith("B03_10m.jp2")).header_offset + 2000
    content = bytearray(archive.read_bytes())
    content[place] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(SceneError, match=r"delivery\.zip"):
        read_scene(scene)


def test_truncated_jp2_is_named(tmp_path, make_safe):
    safe = make_safe(tmp_path)
    (path,) = safe.rglob("*B03_10m.jp2")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(SceneError, match=r"B03_10m\.jp2 is truncated"):
        read_scene(only_scene(safe))


def test_hostile_metadata_is_refused(tmp_path, make_safe):
    safe = make_safe(tmp_path)
    document = safe / "MTD_MSIL2A.xml"
    honest = document.read_text()
    bomb = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>'
    for forged in (
        honest.replace("<IMAGE_FILE>GRANULE", "<IMAGE_FILE>../../GRANULE", 1),
        honest.replace("?>", f"?>{bomb}", 1).replace("05.09", "&a;"),
        honest[:500],
        honest.replace("Sentinel-2A", "Sentinel-2/../x"),
    ):
        document.write_text(forged)
        (refusal,) = find_scenes(str(tmp_path)).refusals
        assert "MTD_MSIL2A.xml" in refusal.reasons["sentinel2"]


def test_resolution_that_the_level_lacks(tmp_path, make_safe):
    make_safe(tmp_path, level="L1C")
    with pytest.raises(SceneError, match="blue, green, red, nir missing"):
        read_scene(only_scene(tmp_path), resolution=20)


def test_of_two_products_of_one_acquisition_the_higher_level_is_the_scene(tmp_path, make_safe):
    make_safe(tmp_path, level="L1C")
    make_safe(tmp_path, level="L2A")
    findings = find_scenes(str(tmp_path))
    assert [scene.product_id[:10] for scene in findings.scenes] == ["S2A_MSIL2A"]
    assert "the same acquisition" in findings.refusals[0].reasons["sentinel2"]
