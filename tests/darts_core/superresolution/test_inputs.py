"""What can be super-resolved: every kind of input, and what is refused."""

import pickle
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401
import xarray as xr
from affine import Affine
from rasterio.enums import ColorInterp, MaskFlags
from support.deliveries import truncate, write_delivery, write_raster

from darts_core import contracts
from darts_core.errors import DartsError
from darts_core.grids import Grid
from darts_core.preprocessing.preprocess import preprocess
from darts_core.scenes import SceneError, find_scenes, read_scene
from darts_core.superresolution.inputs import BandSet, InputError, open_input
from darts_core.synthetic.landscape import Landscape, make_landscape
from darts_core.synthetic.sentinel2 import Level, write_sentinel2_safe

TEN, TWENTY = BandSet.TEN.bands, BandSet.TWENTY.bands
CODES = {BandSet.TEN: ("B02", "B03", "B04", "B08"), BandSet.TWENTY: ("B05", "B06", "B07", "B8A", "B11", "B12")}
TURNED = Affine(8, 6, 500000, 6, -8, 5700000)


def numbers(count: int = 4, shape: tuple[int, int] = (30, 50), dtype: str = "uint16") -> np.ndarray:
    return np.random.default_rng(count).integers(1, 9000, (count, *shape)).astype(dtype)


def stacked(dataset: xr.Dataset, bands: tuple[str, ...] = TEN) -> np.ndarray:
    assert tuple(dataset.data_vars) == (*bands, "valid_data_mask")
    return np.stack([dataset[name].values for name in bands])


def invalid(dataset: xr.Dataset) -> list[list[int]]:
    """Pixels (row, column) without data; the mask and the NaN of every band agree on them."""
    valid = dataset["valid_data_mask"].values
    bands = [dataset[name].values for name in dataset.data_vars if name != "valid_data_mask"]
    np.testing.assert_array_equal(valid, ~np.isnan(bands).any(axis=0))
    return np.argwhere(~valid).tolist()


# a raster file


@pytest.mark.parametrize(
    "names",
    [
        ("B04", "B03", "B08", "B02", "SCL"),
        ("B4", "B3", "B8", "B2", None),
        ("red", "Green", "NIR", "BLUE", "Band 5"),
        ("B04_10m", "b03", "Near infrared", "S2 B2", "B05"),
    ],
)
def test_bands_are_found_by_their_descriptions_and_only_the_four_are_taken(tmp_path: Path, names: tuple) -> None:
    written = numbers(5)
    scene = open_input(write_raster(tmp_path / "a.tif", written, names, scale=2e-4, offset=-0.1))
    np.testing.assert_allclose(stacked(scene.dataset), written[[3, 1, 0, 2]] * 2e-4 - 0.1, rtol=1e-5, atol=1e-7)
    assert invalid(scene.dataset) == []
    assert scene.name == "a"
    assert scene.tags == {"scene": "a"}


def test_the_dataset_is_lazy_and_as_the_contract_wants_it(tmp_path: Path) -> None:
    dataset = open_input(write_raster(tmp_path / "a.tif", numbers(), TEN)).dataset
    assert all(array.chunks for array in dataset.data_vars.values())
    contracts.validate(dataset.drop_vars("valid_data_mask"), "super_resolved")
    assert dataset["valid_data_mask"].dtype == bool
    assert Grid.of(dataset).shape == (30, 50)
    assert tuple(dataset.rio.transform())[:6] == (10, 0, 500000, 0, -10, 5700000)
    part = pickle.loads(pickle.dumps(dataset.isel(y=slice(3, 5))))
    np.testing.assert_array_equal(part["red"], dataset["red"][3:5])


def test_tags_of_the_file_and_of_its_bands_are_kept(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", numbers(), CODES[BandSet.TEN], scale=1e-4)
    with rasterio.open(path, "r+") as target:
        target.update_tags(campaign="2021", STATISTICS_MEAN="3")
        target.update_tags(3, wavelength="665", STATISTICS_MAXIMUM="9")
    scene = open_input(path)
    assert scene.tags == {"campaign": "2021", "scene": "a"}
    assert scene.band_tags == {"blue": {}, "green": {}, "red": {"wavelength": "665"}, "nir": {}}


def test_integers_without_a_scale_are_digital_numbers_and_the_tags_say_so(tmp_path: Path) -> None:
    written = numbers()
    path = write_raster(tmp_path / "a.tif", written, TEN)
    scene = open_input(path)
    assert scene.tags["reflectance_scale"] == "assumed 0.0001"
    np.testing.assert_allclose(stacked(scene.dataset), written * 1e-4, rtol=1e-6)
    given = open_input(path, scale=1e-3, offset=-0.2)
    assert "reflectance_scale" not in given.tags
    np.testing.assert_allclose(
        stacked(given.dataset), (written * 1e-3 - 0.2).clip(-0.0999, 6.4535), rtol=1e-5, atol=1e-6
    )
    with pytest.raises(SceneError, match=r"integers \(uint8\) and nothing says how they become reflectance"):
        open_input(write_raster(tmp_path / "picture.tif", numbers(dtype="uint8"), TEN))


def test_reflectance_of_floats_is_taken_as_it_is_and_snow_stays_above_one(tmp_path: Path) -> None:
    written = (numbers() * 2e-4).astype("float32")
    written[:, 0, 0] = 1.7, 1.6, 1.5, 1.2
    scene = open_input(write_raster(tmp_path / "a.tif", written, TEN))
    np.testing.assert_array_equal(stacked(scene.dataset), written)
    assert "reflectance_scale" not in scene.tags


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        ("uint16", 0),
        ("uint16", 65535),
        ("int16", -32768),
        ("float32", -np.inf),
        ("float32", np.nan),
        ("float32", -9999),
    ],
)
@pytest.mark.parametrize("given", [False, True])
def test_declared_or_given_nodata_is_no_data_and_zero_is(
    tmp_path: Path, dtype: str, nodata: float, given: bool
) -> None:
    written = numbers(dtype=dtype)
    written[:, 1, 1] = 0
    written[2, 3, 4] = nodata
    path = write_raster(tmp_path / "a.tif", written, TEN, nodata=None if given else nodata)
    dataset = open_input(path, nodata=nodata if given else None).dataset
    assert invalid(dataset) == ([[1, 1], [3, 4]] if nodata == 0 else [[3, 4]])


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_without_nodata_every_finite_number_is_data(tmp_path: Path, dtype: str) -> None:
    written = numbers(dtype=dtype)
    written[:, 0] = 0
    written[0, 0, 0], written[1, 1, 1] = 65535, np.inf if dtype == "float32" else 7
    dataset = open_input(write_raster(tmp_path / "a.tif", written, TEN)).dataset
    assert invalid(dataset) == ([[1, 1]] if dtype == "float32" else [])
    assert dataset["red"].values[0, 0] == 0


def test_a_mask_of_the_file_says_what_is_data(tmp_path: Path) -> None:
    hidden = np.full((30, 50), 255, np.uint8)
    hidden[4, 5] = 0
    for name, inside in (("inside", True), ("beside", False)):
        path = write_raster(tmp_path / f"{name}.tif", numbers(), TEN)
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside), rasterio.open(path, "r+") as target:
            target.write_mask(hidden)
        assert path.with_name("beside.tif.msk").exists() == (not inside)
        assert invalid(open_input(path).dataset) == [[4, 5]]


def with_alpha(path: Path, written: np.ndarray, names: tuple) -> Path:
    write_raster(path, written, names)
    with rasterio.open(path, "r+") as target:
        target.colorinterp = (ColorInterp.gray, *[ColorInterp.undefined] * (len(written) - 2), ColorInterp.alpha)
    return path


def test_an_alpha_band_is_a_mask_unless_it_is_named_as_a_band(tmp_path: Path) -> None:
    written = numbers(5)
    written[4] = 65535
    written[4, 6, 7] = 0
    for order in (None, TEN):
        scene = open_input(with_alpha(tmp_path / "a.tif", written, () if order else TEN), band_order=order)
        assert invalid(scene.dataset) == [[6, 7]]
    picture = with_alpha(tmp_path / "picture.tif", written[1:], TEN)
    with rasterio.open(picture) as source:
        assert MaskFlags.alpha in source.mask_flag_enums[0]
    named = open_input(picture)
    assert invalid(named.dataset) == []
    assert named.dataset["nir"].values[6, 7] == 0


def test_a_rotated_transform_is_kept(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", numbers(), TEN, transform=TURNED, crs="EPSG:3413")
    dataset = open_input(path).dataset
    assert Grid.of(dataset) == Grid(rasterio.crs.CRS.from_epsg(3413), TURNED, 30, 50)
    assert not {"x", "y"} & set(dataset.coords)


def test_a_rotated_scene_with_metadata_is_kept_here_and_refused_by_the_chain(tmp_path: Path) -> None:
    path = write_delivery(tmp_path, "T08WMA")
    with rasterio.open(path, "r+") as target:
        target.transform = TURNED
    assert Grid.of(open_input(path).dataset).transform == TURNED
    with pytest.raises(SceneError, match=r"T08WMA\.tif is rotated against its CRS; warp it"):
        read_scene(find_scenes(str(path)).scenes[0])


def test_bands_without_names_need_an_order(tmp_path: Path) -> None:
    written = numbers()
    path = write_raster(tmp_path / "a.tif", written, scale=1e-4)
    with pytest.raises(SceneError, match=r"red, nir missing. The file has 4 bands: -, -, -, -.*band_order"):
        open_input(path)
    scene = open_input(path, band_order=["B08", "red", "green", "B2"])
    np.testing.assert_allclose(stacked(scene.dataset), written[::-1] * 1e-4, rtol=1e-6)
    with pytest.raises(SceneError, match=r"expected a band order of 4 names.*received 3: blue, green, red"):
        open_input(path, band_order=["blue", "green", "red"])
    with pytest.raises(SceneError, match="more than one band is named red"):
        open_input(path, band_order=["red", "B04", "green", "blue"])


def test_the_order_goes_before_descriptions_and_before_metadata_beside_the_file(tmp_path: Path) -> None:
    order = ("nir", "red", "green", "blue")
    described = write_raster(tmp_path / "a.tif", numbers(), TEN)
    delivered = write_delivery(tmp_path / "b", "T08WMA")
    for path in (described, delivered):
        with rasterio.open(path) as source:
            written = source.read()
        np.testing.assert_allclose(stacked(open_input(path, band_order=order).dataset), written[::-1] * 1e-4, rtol=1e-6)


def test_any_raster_that_gdal_reads_is_taken(tmp_path: Path) -> None:
    written = numbers()
    plain = write_raster(tmp_path / "a.tif", written, TEN, nodata=0)
    from rasterio.shutil import copy

    for name, driver in (("a.vrt", "VRT"), ("a.img", "HFA"), ("a.dat", "ENVI")):
        copy(str(plain), str(tmp_path / name), driver=driver)
        np.testing.assert_allclose(stacked(open_input(tmp_path / name).dataset), written * 1e-4, rtol=1e-6)
    plain.unlink()
    with pytest.raises(SceneError, match=r"a\.vrt is damaged"):
        open_input(tmp_path / "a.vrt").dataset["red"].compute()


def test_a_file_in_an_object_store(tmp_path: Path, s3: str) -> None:
    import s3fs

    options = {"endpoint_url": s3}
    written = numbers()
    store = s3fs.S3FileSystem(**options)
    store.mkdir("inputs")
    store.put(str(write_raster(tmp_path / "a.tif", written, TEN)), "inputs/far/a.tif")
    scene = open_input("s3://inputs/far/a.tif", storage_options=options)
    np.testing.assert_allclose(stacked(scene.dataset), written * 1e-4, rtol=1e-6)
    scene.dataset.close()


def test_what_is_no_input_is_refused_and_told(tmp_path: Path) -> None:
    good = write_raster(tmp_path / "good.tif", numbers(), TEN)
    text = tmp_path / "text.tif"
    text.write_text("no raster")
    nowhere = write_raster(tmp_path / "nowhere.tif", numbers(), TEN, crs=None)
    poor = write_raster(tmp_path / "poor.tif", numbers(3), ("blue", "green", "red"))
    cut = truncate(shutil.copy(good, tmp_path / "cut.tif"))
    impossible = write_raster(tmp_path / "impossible.tif", numbers(), TEN)
    (tmp_path / "empty").mkdir()
    for path, options, message in (
        (tmp_path / "absent.tif", {}, "absent.tif does not exist"),
        (text, {}, "text.tif cannot be read"),
        (nowhere, {}, r"nowhere.tif has no CRS.*Assign the one it was made in"),
        (poor, {}, "nir missing. The file has 3 bands: blue, green, red"),
        (good, {"bands": BandSet.TWENTY}, "rededge071, .* missing. The file has 4 bands: blue, green, red, nir"),
        (cut, {}, "cut.tif cannot be read, it may be truncated"),
        (impossible, {"nodata": -9999}, "nodata -9999 of blue is no number that uint16 can hold"),
        (impossible, {"scale": 0.0}, "has the scale 0 and offset 0"),
        (tmp_path / "empty", {}, "empty holds no scene"),
    ):
        with pytest.raises(DartsError, match=message):
            open_input(path, **options)


# Sentinel-2 products


@pytest.fixture(scope="module")
def landscape() -> Landscape:
    return make_landscape(5, (484_000.0, 7_536_000.0, 485_500.0, 7_537_500.0))


@pytest.fixture(scope="module", params=list(Level))
def safe(request: pytest.FixtureRequest, landscape: Landscape, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """90 x 78 pixels of 10 m: rows and columns differ."""
    bounds, noon = (484_200.0, 7_536_200.0, 485_100.0, 7_536_980.0), datetime(2022, 8, 3, 20, 40, 11, tzinfo=UTC)
    return write_sentinel2_safe(tmp_path_factory.mktemp("safe"), landscape, bounds, noon, 7, request.param)


def delivered(safe: Path, code: str) -> np.ndarray:
    (path,) = safe.glob(f"GRANULE/*/IMG_DATA/**/*_{code}*.jp2")
    with rasterio.open(path) as source:
        return source.read(1)


@pytest.mark.parametrize("bands", list(BandSet))
@pytest.mark.parametrize("zipped", [False, True])
def test_a_sentinel2_product_of_either_level(safe: Path, tmp_path: Path, bands: BandSet, zipped: bool) -> None:
    others = {path.stem.split("_")[2] for path in safe.rglob("*.jp2")} - set(CODES[BandSet.TEN] + CODES[BandSet.TWENTY])
    assert others == ({"TCI", "AOT", "WVP", "SCL"} if "MSIL2A" in safe.name else {"TCI"})
    path = Path(shutil.make_archive(str(tmp_path / "product"), "zip", safe.parent)) if zipped else safe
    scene = open_input(path, bands)
    written = np.stack([delivered(safe, code) for code in CODES[bands]])
    np.testing.assert_allclose(
        stacked(scene.dataset, bands.bands), np.where(written == 0, np.nan, (written - 1000.0) / 10000), atol=1e-6
    )
    assert scene.dataset["valid_data_mask"].values.sum() == (written > 0).all(axis=0).sum() < written[0].size
    assert Grid.of(scene.dataset).resolution == ((10, 10) if bands is BandSet.TEN else (20, 20))
    assert scene.name == safe.stem
    assert scene.tags["processing_level"] == safe.name[7:10]
    assert scene.tags["tile"] == "T08WMA"
    scene.dataset.close()


def test_the_bands_are_those_that_the_chain_preprocesses(safe: Path) -> None:
    (found,) = find_scenes(str(safe)).scenes
    chain, direct = preprocess(read_scene(found)), open_input(safe).dataset
    for name in (*TEN, "valid_data_mask"):
        xr.testing.assert_identical(chain[name].compute(), direct[name].compute())


@pytest.mark.parametrize("bands", list(BandSet))
def test_a_band_file_that_the_product_names_and_lacks_is_named(safe: Path, tmp_path: Path, bands: BandSet) -> None:
    copied = tmp_path / safe.name
    shutil.copytree(safe, copied)
    (path,) = copied.glob(f"GRANULE/*/IMG_DATA/**/*_{CODES[bands][2]}*.jp2")
    path.unlink()
    with pytest.raises(SceneError, match=rf"1 of the files to read that were not delivered:\n  - .*{path.name}"):
        open_input(copied, bands)


def test_a_product_needs_no_classification(tmp_path: Path, safe: Path) -> None:
    copied = tmp_path / safe.name
    shutil.copytree(safe, copied)
    for path in copied.rglob("*_SCL_*.jp2"):
        path.unlink()
    assert stacked(open_input(copied).dataset).shape == (4, 78, 90)


@pytest.mark.parametrize("bands", list(BandSet))
def test_the_real_product_lacks_its_bands_and_says_which(shared_data: Path, bands: BandSet) -> None:
    with pytest.raises(SceneError) as caught:
        open_input(shared_data / "sentinel2_l2a_T29UNU", bands)
    for code in CODES[bands]:
        assert f"T29UNU_20221005T115411_{code}_{bands.value}.jp2" in str(caught.value)


# scenes with metadata of other kinds


def test_a_geotiff_with_a_stac_item_is_read_as_the_item_says(tmp_path: Path) -> None:
    path = write_delivery(tmp_path, "T08WMA", bands=("nir", "red", "green", "blue"))
    with rasterio.open(path) as source:
        written = source.read()
    scene = open_input(path)
    np.testing.assert_allclose(stacked(scene.dataset), written[::-1] * 1e-4, rtol=1e-6)
    assert "reflectance_scale" not in scene.tags
    assert scene.tags["sensor"] == "made-up"
    halved = open_input(tmp_path, scale=5e-5)
    np.testing.assert_allclose(stacked(halved.dataset), written[::-1] * 5e-5, rtol=1e-6)


def test_an_item_that_says_too_little_is_not_passed_over(tmp_path: Path) -> None:
    path = write_delivery(tmp_path, "T08WMA", bands=("nir", "red", "green", "blue"))
    document = path.with_suffix(".json")
    document.write_text(document.read_text().replace('"raster:scale": 0.0001, ', ""))
    with pytest.raises(SceneError, match="nothing says how they become reflectance"):
        open_input(path)
    assert stacked(open_input(path, scale=1e-4).dataset).shape == (4, 64, 64)


def test_the_narrow_near_infrared_of_an_item_goes_by_its_own_name(tmp_path: Path) -> None:
    path = write_delivery(tmp_path, "T08WMA", bands=TWENTY)
    with rasterio.open(path) as source:
        written = source.read()
    np.testing.assert_allclose(stacked(open_input(path, BandSet.TWENTY).dataset, TWENTY), written * 1e-4, rtol=1e-6)


def test_a_planet_order(tmp_path: Path) -> None:
    written = numbers(8)
    written[:, 2, 3] = 0
    path = write_raster(tmp_path / "20220716_210019_97_2427_3B_AnalyticMS_SR_8b_clip.tif", written)
    for place in (path, tmp_path):
        dataset = open_input(place).dataset
        np.testing.assert_allclose(stacked(dataset)[:, :2], written[[1, 3, 5, 7], :2] * 1e-4, rtol=1e-6)
        assert invalid(dataset) == [[2, 3]]


def test_one_scene_at_a_time(tmp_path: Path) -> None:
    for tile in ("T08WMA", "T08WMB"):
        write_delivery(tmp_path, tile)
    with pytest.raises(InputError, match=r"holds 2 scenes; name one: .*T08WMA\.tif, .*T08WMB\.tif"):
        open_input(tmp_path)
    with pytest.raises(InputError, match="names its bands itself"):
        open_input(tmp_path, band_order=TEN)


# Sentinel-2 Global Mosaic


@pytest.mark.parametrize("name", ["{}.tif", "{}.tiff", "S2GM_Q10_20210701_20210930_x_STD_v1_{}.tif", "lower/{}.TIF"])
@pytest.mark.parametrize("bands", list(BandSet))
def test_a_global_mosaic(tmp_path: Path, name: str, bands: BandSet) -> None:
    written = numbers(len(bands.bands), dtype="int16")
    written[1, 5, 6], written[:, 7, 8] = -32768, 0
    for values, code in zip(written, CODES[bands], strict=True):
        write_raster(tmp_path / name.format(code.lower() if "lower" in name else code), values[None])
    write_raster(tmp_path / "observations.tif", numbers(1))
    scene = open_input(tmp_path, bands)
    assert invalid(scene.dataset) == [[5, 6]]
    values = stacked(scene.dataset, bands.bands)
    np.testing.assert_allclose(values[:, :5], written[:, :5] * 1e-4, rtol=1e-6)
    assert (values[:, 7, 8] == 0).all()
    assert scene.tags == {"scene": tmp_path.name, "reflectance_scale": "assumed 0.0001"}


def test_what_a_mosaic_declares_goes_before_the_definition(tmp_path: Path) -> None:
    written = numbers(dtype="uint16")
    written[0, 1, 2] = 0
    for values, code in zip(written, CODES[BandSet.TEN], strict=True):
        write_raster(tmp_path / f"{code}.tif", values[None], scale=2e-4, nodata=0)
    scene = open_input(tmp_path)
    assert invalid(scene.dataset) == [[1, 2]]
    np.testing.assert_allclose(scene.dataset["nir"], written[3] * 2e-4, rtol=1e-6)
    assert "reflectance_scale" not in scene.tags


def test_a_mosaic_that_is_not_one_is_refused(tmp_path: Path) -> None:
    def mosaic(name: str, last: np.ndarray, *, codes: tuple[str, ...] = CODES[BandSet.TEN], **profile: object) -> Path:
        for code in codes[:-1]:
            write_raster(tmp_path / name / f"{code}.tif", numbers(1))
        write_raster(tmp_path / name / f"{codes[-1]}.tif", last, **profile)
        return tmp_path / name

    lacking = mosaic("lacking", numbers(1), codes=("B02", "B03", "B04"))
    twice = mosaic("twice", numbers(1))
    write_raster(twice / "other" / "B03.tif", numbers(1))
    for path, message in (
        (lacking, r"B08\.tif missing. It has B02\.tif, B03\.tif, B04\.tif"),
        (twice, r"holds a band more than once: B03\.tif, other/B03\.tif"),
        (mosaic("tall", numbers(1, (50, 30))), "another grid .50x30 pixels.* than blue .30x50 pixels"),
        (mosaic("coarse", numbers(1), transform=Affine(20, 0, 500000, 0, -20, 5700000)), "another grid"),
        (mosaic("elsewhere", numbers(1), crs="EPSG:32632"), "another grid"),
        (mosaic("many", numbers(2)), r"B08\.tif: expected the 1 bands nir, the file has 2"),
    ):
        with pytest.raises(SceneError, match=message):
            open_input(path)
    with pytest.raises(SceneError, match=r"B05\.tif, B06\.tif, .* missing"):
        open_input(twice, BandSet.TWENTY)


def test_real_surface_reflectance_with_its_nodata(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "sentinel2_flanders" / "atmocorr"
    written = []
    for code in CODES[BandSet.TEN]:
        (tmp_path / f"ref_check_icor_S2_{code}.tif").symlink_to(folder / f"ref_check_icor_S2_{code}.tif")
        with rasterio.open(folder / f"ref_check_icor_S2_{code}.tif") as source:
            assert source.nodata == 65535
            written.append(source.read(1))
    dataset = open_input(tmp_path).dataset
    held = np.stack(written) != 65535
    np.testing.assert_array_equal(dataset["valid_data_mask"], held.all(axis=0))
    # the brightest glint is more than the product can store
    expected = np.where(held, (np.stack(written) * 1e-4).clip(max=6.4535), np.nan)
    np.testing.assert_allclose(stacked(dataset), expected, rtol=1e-6)
    assert dataset.rio.crs.to_epsg() == 32631
    assert dict(dataset.sizes) == {"y": written[0].shape[0], "x": written[0].shape[1]}


def test_real_bands_without_descriptions(shared_data: Path) -> None:
    (path,) = (shared_data / "peel_plateau").glob("S2_*.tif")
    with pytest.raises(SceneError, match="The file has 7 bands: -"):
        open_input(path)
    dataset = open_input(path, band_order=("B2", "B3", "B4", "B5", "B6", "B7", "B8")).dataset
    with rasterio.open(path) as source:
        np.testing.assert_allclose(stacked(dataset), source.read([1, 2, 3, 7]) * 1e-4, rtol=1e-6)
