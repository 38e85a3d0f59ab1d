"""Both scenes in their real formats, read back without this project's own readers."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
from defusedxml import ElementTree
from rasterio.transform import rowcol

from darts_core.synthetic.grid import Grid, SyntheticError
from darts_core.synthetic.landscape import Landscape
from darts_core.synthetic.observation import outside_swath, sky
from darts_core.synthetic.planet import UDM2_BANDS, write_planet_order
from darts_core.synthetic.sentinel2 import scene_classification, write_sentinel2_safe
from darts_core.synthetic.surface import BANDS, surface
from darts_core.synthetic.world import PLANET_BOUNDS, SENTINEL2_BOUNDS, World

SMALL = (484_200.0, 7_536_200.0, 485_100.0, 7_536_980.0)
"""45 x 39 pixels of 20 m: rows and columns differ, and all three pixel sizes divide it."""
NOON = datetime(2022, 8, 3, 20, 40, 11, 24_000, tzinfo=UTC)


def _band(safe: Path, name: str) -> Path:
    (path,) = safe.glob(f"GRANULE/*/IMG_DATA/**/*_{name}*.jp2")
    return path


def _read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read()


def _digests(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_same_seed_same_bytes_other_seed_others(small_landscape: Landscape, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_sentinel2_safe(tmp_path / name, small_landscape, SMALL, NOON, seed)
        write_planet_order(tmp_path / name / "order", small_landscape, SMALL, NOON, seed)
    first, again, other = (_digests(tmp_path / name) for name in "abc")
    assert first == again
    assert len(first) == 14 + 3 + 4
    images = [name for name in first if name.endswith((".jp2", ".tif")) and name in other]
    assert images
    assert all(first[name] != other[name] for name in images)


@pytest.mark.parametrize(
    ("name", "resolution", "dtype", "count"),
    [
        *((band, 10, "uint16", 1) for band in ("B02", "B03", "B04", "B08", "AOT", "WVP")),
        *((band, 20, "uint16", 1) for band in ("B05", "B06", "B07", "B8A", "B11", "B12")),
        ("TCI", 10, "uint8", 3),
        ("SCL", 20, "uint8", 1),
    ],
)
def test_gdal_opens_every_band_where_it_lies(world: World, name: str, resolution: int, dtype: str, count: int) -> None:
    path = _band(world.sentinel2, name)
    assert path.parent.name == f"R{resolution}m"
    with rasterio.open(path) as file:
        assert file.driver == "JP2OpenJPEG"
        assert file.crs.to_epsg() == 32608
        assert tuple(file.bounds) == SENTINEL2_BOUNDS
        assert file.res == (resolution, resolution)
        assert file.dtypes == (dtype,) * count
    assert not list(path.parent.glob("*.aux.xml"))


def test_l2a_metadata_has_what_readers_decide_by(world: World) -> None:
    safe = world.sentinel2
    product = ElementTree.parse(safe / "MTD_MSIL2A.xml").getroot()

    def text(tag: str) -> str | None:
        return product.findtext(f".//{tag}")

    assert text("PRODUCT_URI") == safe.name
    assert text("PROCESSING_BASELINE") == "05.09"
    assert text("BOA_QUANTIFICATION_VALUE") == "10000"
    offsets = {item.get("band_id"): item.text for item in product.iter("BOA_ADD_OFFSET")}
    assert offsets == {str(band): "-1000" for band in range(13)}
    special = {
        item.findtext("SPECIAL_VALUE_TEXT"): item.findtext("SPECIAL_VALUE_INDEX")
        for item in product.iter("Special_Values")
    }
    assert special == {"NODATA": "0", "SATURATED": "65535"}
    started = datetime.fromisoformat(text("DATATAKE_SENSING_START") or "")
    assert f"{started:%Y%m%dT%H%M%S}" == safe.name.split("_")[2]
    listed = {f"{item.text}.jp2" for item in product.iter("IMAGE_FILE")}
    assert listed == {path.relative_to(safe).as_posix() for path in safe.rglob("*.jp2")}


def test_metadata_counts_what_the_bands_show(world: World) -> None:
    product = ElementTree.parse(world.sentinel2 / "MTD_MSIL2A.xml").getroot()
    missing = 100 * float((_read(_band(world.sentinel2, "B02")) == 0).mean())
    assert float(product.findtext(".//NODATA_PIXEL_PERCENTAGE")) == pytest.approx(missing, abs=1e-4)
    scl = _read(_band(world.sentinel2, "SCL"))
    cloudy = 100 * float(np.isin(scl, (8, 9)).sum() / (scl > 0).sum())
    assert float(product.findtext(".//Cloud_Coverage_Assessment")) == pytest.approx(cloudy, abs=0.5)


def test_tile_metadata_gives_the_geocoding(world: World) -> None:
    (path,) = world.sentinel2.glob("GRANULE/*/MTD_TL.xml")
    tile = ElementTree.parse(path).getroot()
    assert tile.findtext(".//HORIZONTAL_CS_CODE") == "EPSG:32608"
    for resolution, name in ((10, "B02"), (20, "B11")):
        with rasterio.open(_band(world.sentinel2, name)) as file:
            size = tile.find(f".//Size[@resolution='{resolution}']")
            place = tile.find(f".//Geoposition[@resolution='{resolution}']")
            assert (int(size.findtext("NROWS")), int(size.findtext("NCOLS"))) == file.shape
            assert int(place.findtext("ULX")) == file.transform.c
            assert int(place.findtext("ULY")) == file.transform.f


def test_manifest_lists_every_file_with_its_checksum(world: World) -> None:
    safe = world.sentinel2
    manifest = ElementTree.parse(safe / "manifest.safe").getroot()
    listed = set()
    for stream in manifest.iter("byteStream"):
        path = safe / stream.find("fileLocation").get("href")
        content = path.read_bytes()
        assert int(stream.get("size")) == len(content)
        assert stream.findtext("checksum") == hashlib.sha3_256(content).hexdigest()
        listed.add(path.resolve())
    on_disk = {path.resolve() for path in safe.rglob("*") if path.is_file() and path.name != "manifest.safe"}
    assert listed == on_disk


def test_scl_agrees_with_the_landscape(small_landscape: Landscape, tmp_path: Path) -> None:
    safe = write_sentinel2_safe(tmp_path, small_landscape, SMALL, NOON, 5, cloud_cover=0.2)
    scl = _read(_band(safe, "SCL"))[0]
    grid = Grid.of(SMALL, 20)
    x, y = grid.centers()
    ground, above = surface(small_landscape, x, y, 20), sky(grid, 0.2, 5)
    missing = outside_swath(x, y, SMALL, 0.18)
    np.testing.assert_array_equal(scl, scene_classification(ground, above, missing))
    np.testing.assert_array_equal(scl == 0, missing)
    assert np.isin(scl, (8, 9)).sum() >= ((above.cloud > 0.5) & ~missing).sum() > 0
    assert (above.cloud[scl == 6] <= 0.15).all()
    assert (ground.water[scl == 6] > 0.5).all()
    assert (ground.ndvi[scl == 4] > 0.35).all()
    assert (ground.ndvi[scl == 5] <= 0.35).all()


def test_the_demo_scene_shows_every_kind_of_ground(world: World) -> None:
    scl = _read(_band(world.sentinel2, "SCL"))
    counts = {value: int((scl == value).sum()) for value in (0, 3, 4, 5, 6, 9, 11)}
    assert min(counts.values()) > 10, counts


def test_clouds_cover_what_was_asked_and_throw_shadows_away_from_the_sun() -> None:
    grid = Grid(0.0, 3000.0, 10.0, 300, 300)
    above = sky(grid, 0.15, 3)
    assert float((above.cloud > 0.5).mean()) == pytest.approx(0.15, abs=0.02)
    coarse = sky(Grid(0.0, 3000.0, 20.0, 150, 150), 0.15, 3)
    assert abs(float(above.cloud.mean()) - float(coarse.cloud.mean())) < 0.01
    # sun in the south-south-west at 33 degrees: the shadow of a cloud 340 m up falls 506 m north, 136 m east of it
    moved = np.roll(above.cloud, (-51, 14), (0, 1))[:240, 20:]
    clear = above.cloud[:240, 20:] == 0
    assert np.corrcoef(moved[clear], above.shadow[:240, 20:][clear])[0, 1] > 0.9
    assert sky(grid, 0.0, 3).cloud.max() == 0


def test_both_sensors_see_the_same_ground(world: World) -> None:
    (scene,) = world.planet.glob("*/*_AnalyticMS_SR_clip.tif")
    planet, (udm2,) = _read(scene), world.planet.glob("*/*_udm2_clip.tif")
    clear = _read(udm2)[0] == 1
    for name, band in (("B02", 0), ("B03", 1), ("B04", 2), ("B08", 3)):
        with rasterio.open(_band(world.sentinel2, name)) as file:
            numbers, transform = file.read(1), file.transform
        rows, columns = np.nonzero(clear)
        x, y = PLANET_BOUNDS[0] + (columns + 0.5) * 3, PLANET_BOUNDS[3] - (rows + 0.5) * 3
        row, column = (np.asarray(index) for index in rowcol(transform, x, y))
        both = (row >= 0) & (row < 320) & (column >= 0) & (column < 320)
        sentinel2 = numbers[row[both], column[both]]
        with rasterio.open(_band(world.sentinel2, "SCL")) as file:
            scl = file.read(1)[row[both] // 2, column[both] // 2]
        good = np.isin(scl, (4, 5, 6)) & (sentinel2 > 0)
        difference = planet[band][clear][both][good] / 1e4 - (sentinel2[good].astype(float) - 1000) / 1e4
        assert good.sum() > 50_000
        assert abs(np.median(difference)) < 0.001
        assert np.percentile(np.abs(difference), 75) < 0.02


def test_l1c_has_one_image_folder_and_no_classification(small_landscape: Landscape, tmp_path: Path) -> None:
    safe = write_sentinel2_safe(tmp_path, small_landscape, SMALL, NOON, 1, level="L1C", cloud_cover=0)
    surface_level = write_sentinel2_safe(tmp_path, small_landscape, SMALL, NOON, 1, cloud_cover=0)
    names = {path.stem.split("_")[-1] for path in safe.glob("GRANULE/*/IMG_DATA/*.jp2")}
    assert names == {"B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12", "TCI"}
    product = ElementTree.parse(safe / "MTD_MSIL1C.xml").getroot()
    assert product.tag.endswith("Level-1C_User_Product")
    assert product.findtext(".//QUANTIFICATION_VALUE") == "10000"
    assert {item.text for item in product.iter("RADIO_ADD_OFFSET")} == {"-1000"}
    # the atmosphere makes dark ground brighter, most in the blue
    lifted = {
        name: float(np.median(_read(_band(safe, name)).astype(int) - _read(_band(surface_level, name))))
        for name in ("B02", "B08")
    }
    assert lifted["B02"] > 400
    assert lifted["B02"] > lifted["B08"]


def test_planet_order_is_laid_out_as_planet_does(world: World) -> None:
    manifest = json.loads((world.planet / "manifest.json").read_text())
    for entry in manifest["files"]:
        content = (world.planet / entry["path"]).read_bytes()
        assert entry["size"] == len(content)
        assert entry["digests"]["sha256"] == hashlib.sha256(content).hexdigest()
    (described,) = world.planet.glob("*/*_metadata.json")
    item = json.loads(described.read_text())
    assert described.name == f"{item['id']}_metadata.json"
    assert described.parent.name == item["id"]
    assert item["properties"]["acquired"].startswith("2023-08-19T20:31:07")
    with rasterio.open(described.parent / f"{item['id']}_3B_AnalyticMS_SR_clip.tif") as file:
        assert (file.count, file.dtypes[0], file.nodata, file.res) == (4, "uint16", 0, (3, 3))
        assert file.descriptions == ("blue", "green", "red", "nir")
        assert tuple(file.bounds) == PLANET_BOUNDS
        assert file.crs.to_epsg() == 32608
        empty = (file.read() == 0).all(0)
    with rasterio.open(described.parent / f"{item['id']}_3B_udm2_clip.tif") as file:
        assert (file.count, file.dtypes[0], file.nodata) == (8, "uint8", None)
        assert file.descriptions == UDM2_BANDS
        mask = file.read()
    np.testing.assert_array_equal(mask[7] != 0, empty)
    np.testing.assert_array_equal(mask[:6].sum(0), ~empty)


def test_wrong_requests_are_refused(small_landscape: Landscape, tmp_path: Path) -> None:
    for write in (write_sentinel2_safe, write_planet_order):
        with pytest.raises(SyntheticError, match="time zone"):
            write(tmp_path, small_landscape, SMALL, NOON.replace(tzinfo=None), 1)
        with pytest.raises(SyntheticError, match="ends at"):
            write(tmp_path, small_landscape, (0.0, 0.0, 600.0, 600.0), NOON, 1)
        with pytest.raises(SyntheticError, match="cloud cover"):
            write(tmp_path, small_landscape, SMALL, NOON, 1, cloud_cover=1.5)
    with pytest.raises(SyntheticError, match="whole pixels of 20 m"):
        write_sentinel2_safe(tmp_path, small_landscape, (*SMALL[:3], SMALL[3] + 10), NOON, 1)
    with pytest.raises(ValueError, match="L3"):
        write_sentinel2_safe(tmp_path, small_landscape, SMALL, NOON, 1, level="L3")
    assert list(tmp_path.iterdir()) == []


def test_bands_are_those_of_the_contract() -> None:
    from darts_core.contracts import REFLECTANCE

    assert {row.name for row in REFLECTANCE} <= set(BANDS)
