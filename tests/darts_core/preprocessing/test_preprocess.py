"""The verb `preprocess`, on small scenes and on the real ones."""

from __future__ import annotations

from pathlib import Path

import dask
import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
from affine import Affine
from pydantic import ValidationError
from pyproj import Transformer
from rasterio.crs import CRS

from darts_core import contracts
from darts_core.auxiliary import AuxiliarySources
from darts_core.grids import Grid, GridError
from darts_core.preprocessing import terrain
from darts_core.preprocessing.features import FeatureError
from darts_core.preprocessing.parameters import PreprocessParameters
from darts_core.preprocessing.preprocess import PreprocessError, preprocess

BANDS = ("blue", "green", "red", "nir")


def raw_scene(numbers: dict[str, np.ndarray], scale: float = 1e-4, offset: float = 0.0, **band_attrs) -> xr.Dataset:  # type: ignore[no-untyped-def]
    height, width = next(iter(numbers.values())).shape
    coords = {"y": 7_701_995.0 - 10 * np.arange(height), "x": 513_005.0 + 10 * np.arange(width)}
    attrs = {"scale_factor": scale, "add_offset": offset, **band_attrs}
    bands = {name: (("y", "x"), values, attrs) for name, values in numbers.items()}
    named = {
        "scene": "t_20210821T210019_S2",
        "tile": "t",
        "acquired": "2021-08-21T21:00:19Z",
        "sensor": "S2",
        "product_id": "S2B_…",
        "processing_level": "L2A",
    }
    return xr.Dataset(bands, coords, named).rio.write_crs(32608)


def uniform(shape: tuple[int, int] = (20, 30), dtype: str = "uint16") -> dict[str, np.ndarray]:
    return {name: np.full(shape, 1000 * number, dtype) for number, name in enumerate(BANDS, 1)}


def dem_file(path: Path, *, gaps: bool = False) -> str:
    y, x = np.mgrid[:200, :200]
    values = (300 + x * 1.0 + 4 * np.sin(y / 5)).astype("float32")
    if gaps:
        values[70, 75] = values[62, 80] = -9999
    profile = {"driver": "GTiff", "count": 1, "height": 200, "width": 200, "dtype": "float32", "nodata": -9999}
    transform = Affine(10, 0, 512_500, 0, -10, 7_702_500)
    with rasterio.open(path, "w", crs=CRS.from_epsg(32608), transform=transform, **profile) as raster:
        raster.write(values, 1)
    return str(path)


def trends_file(path: Path) -> str:
    profile = {"driver": "GTiff", "count": 3, "height": 200, "width": 200, "dtype": "uint8"}
    transform = Affine(10, 0, 512_500, 0, -10, 7_702_500)
    with rasterio.open(path, "w", crs=CRS.from_epsg(32608), transform=transform, **profile) as raster:
        raster.write(np.stack([np.full((200, 200), level, "uint8") for level in (1, 2, 3)]))
        raster.descriptions = ("TCB_slope", "TCG_slope", "TCW_slope")
    return str(path)


def test_reflectance_is_number_times_scale_plus_offset() -> None:
    product = preprocess(raw_scene(uniform(), 1e-4, -0.1)).compute()
    for number, name in enumerate(BANDS, 1):
        np.testing.assert_allclose(product[name], 0.1 * number - 0.1, atol=1e-7)
        assert product[name].dtype == np.float32
    np.testing.assert_allclose(product["ndvi"], (0.3 - 0.2) / 0.5, rtol=1e-6)


def test_nodata_of_one_band_invalidates_the_pixel_and_a_zero_that_is_data_does_not() -> None:
    numbers = uniform()
    numbers["green"][2, 3] = 65535
    numbers["nir"][5, 6] = 0
    product = preprocess(raw_scene(numbers, _FillValue=65535)).compute()
    assert np.isnan(product["green"].values[2, 3])
    assert product["blue"].values[2, 3] == pytest.approx(0.1)
    assert np.argwhere(~product["valid_data_mask"].values).tolist() == [[2, 3]]
    assert product["nir"].values[5, 6] == 0
    assert product["quality_level"].values[2, 3] == 0
    assert np.array_equal(product["quality_data_mask"], product["valid_data_mask"])


@pytest.mark.parametrize("nodata", [-np.inf, np.nan, None])
def test_float_scenes_hold_no_data_where_they_are_not_finite(nodata: float | None) -> None:
    numbers = uniform(dtype="float32")
    numbers["red"][0, 0] = -np.inf
    numbers["red"][0, 1] = np.nan
    attrs = {} if nodata is None else {"_FillValue": nodata}
    product = preprocess(raw_scene(numbers, **attrs)).compute()
    assert np.argwhere(~product["valid_data_mask"].values).tolist() == [[0, 0], [0, 1]]


def test_undeclared_nodata_is_data() -> None:
    numbers = uniform()
    numbers["blue"][:] = 0
    assert preprocess(raw_scene(numbers))["valid_data_mask"].values.all()


def test_saturated_numbers_keep_within_what_is_stored() -> None:
    numbers = {name: np.full((4, 4), 65535, "uint16") for name in BANDS}
    product = preprocess(raw_scene(numbers))
    contracts.validate(product, "preprocessed")
    assert float(product["red"].max()) == pytest.approx(6.4535)


def test_quality_follows_the_scene_classification() -> None:
    raw = raw_scene(uniform((2, 3))).chunk({"x": 2})
    classes = xr.DataArray(np.array([[0, 4, 9], [11, 6, 1]], "uint8"), dims=("y", "x"))
    raw["scl"] = classes.chunk({"x": 1})
    product = preprocess(raw).compute()
    assert product["quality_level"].values.tolist() == [[0, 2, 1], [1, 2, 0]]
    assert product["quality_data_mask"].values.tolist() == [[False, True, False], [False, True, False]]
    assert product["valid_data_mask"].values.all()


def test_quality_follows_the_usable_data_mask() -> None:
    raw = raw_scene(uniform((2, 3)))
    udm2 = np.zeros((8, 2, 3), "uint8")
    udm2[5, 0, 0] = udm2[7, 1, 1] = 1
    raw["udm2"] = (("udm2_band", "y", "x"), udm2)
    product = preprocess(raw).compute()
    assert product["quality_level"].values.tolist() == [[1, 2, 2], [2, 0, 2]]
    assert "udm2_band" not in product.dims


def test_features_are_made_only_where_their_source_is_configured(tmp_path: Path) -> None:
    raw = raw_scene(uniform())
    optional = {"relative_elevation", "slope", "tc_brightness", "tc_greenness", "tc_wetness"}
    assert not optional & set(preprocess(raw))
    dem, trends = dem_file(tmp_path / "dem.tif"), trends_file(tmp_path / "trends.tif")
    assert optional & set(preprocess(raw, AuxiliarySources(dem=dem))) == {"relative_elevation", "slope"}
    everything = preprocess(raw, AuxiliarySources(dem, trends))
    assert optional <= set(everything)
    assert everything.attrs["dem_coverage"] == everything.attrs["trends_coverage"] == 1.0
    assert everything["slope"].attrs["data_source"] == "dem.tif"
    assert everything["tc_wetness"].attrs["data_source"] == "trends.tif"
    assert everything["red"].attrs["data_source"] == "S2B_…"
    assert (everything["tc_greenness"].values == 2).all()


def test_the_product_keeps_its_contract_and_the_scene_its_attributes(tmp_path: Path) -> None:
    raw = raw_scene(uniform(), _FillValue=0)
    untouched = raw.copy(deep=True)
    product = preprocess(raw, AuxiliarySources(dem_file(tmp_path / "dem.tif"), trends_file(tmp_path / "trends.tif")))
    contracts.validate(product, "preprocessed")
    xr.testing.assert_identical(raw, untouched)
    assert raw.attrs.items() <= product.attrs.items()
    back = contracts.decode(contracts.encode(product, "preprocessed"), "preprocessed")
    contracts.validate(back, "preprocessed")


def test_the_border_of_a_scene_has_its_terrain(tmp_path: Path) -> None:
    product = preprocess(raw_scene(uniform()), AuxiliarySources(dem=dem_file(tmp_path / "dem.tif"))).compute()
    assert not product["slope"].isnull().any()
    # the western half of the disk is as much below as the eastern is above, at the border too
    y = np.mgrid[:200, :200][0][50:70, 50:80]
    assert np.abs(product["relative_elevation"].values).max() < 8 * np.abs(np.sin(y / 5)).max()


def test_chunks_change_nothing(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    numbers = {name: generator.integers(0, 9000, (37, 53), dtype="uint16") for name in BANDS}
    raw = raw_scene(numbers, _FillValue=0)
    sources = AuxiliarySources(dem_file(tmp_path / "dem.tif"), trends_file(tmp_path / "trends.tif"))
    whole = preprocess(raw, sources)
    blocks = preprocess(raw.chunk({"y": (5, 30, 2), "x": (20, 33)}), sources)
    assert blocks["slope"].chunks == blocks["red"].chunks == ((5, 30, 2), (20, 33))
    xr.testing.assert_identical(whole.compute(), blocks.compute())


def test_nothing_is_computed_before_it_is_asked_for() -> None:
    raw = raw_scene(uniform()).chunk({"y": 7})
    for name in BANDS:
        raw[name].data = raw[name].data.map_blocks(_explode, dtype="uint16", meta=np.empty((0, 0), "uint16"))
    product = preprocess(raw)
    with pytest.raises(RuntimeError, match="computed"), dask.config.set(scheduler="synchronous"):
        product["red"].compute()


def _explode(block: np.ndarray) -> np.ndarray:
    raise RuntimeError("computed")


def test_a_missing_band_is_named() -> None:
    numbers = uniform()
    del numbers["nir"], numbers["green"]
    with pytest.raises(PreprocessError, match=r"t_20210821T210019_S2.*missing green, nir \(it has blue, red\)"):
        preprocess(raw_scene(numbers))


def test_a_scale_is_never_guessed() -> None:
    raw = raw_scene(uniform())
    del raw["red"].attrs["scale_factor"]
    with pytest.raises(PreprocessError, match="scale_factor on every band, missing on red:"):
        preprocess(raw)


def test_a_scene_without_crs_is_refused() -> None:
    with pytest.raises(GridError, match="t_20210821T210019_S2 has no CRS"):
        preprocess(raw_scene(uniform()).drop_vars("spatial_ref"))


def test_parameters_are_bounded_and_known() -> None:
    with pytest.raises(ValidationError):
        PreprocessParameters(relative_elevation_radius_m=0)
    with pytest.raises(ValidationError):
        PreprocessParameters(radius=3)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match=r"received 30\.0 and 30\.0: there would be nothing"):
        PreprocessParameters(relative_elevation_radius_m=30, relative_elevation_inner_radius_m=30)


def flanders(folder: Path) -> xr.Dataset:
    def band(name: str) -> xr.DataArray:
        path = folder / "atmocorr" / f"ref_check_icor_S2_{name}.tif"
        array = rioxarray.open_rasterio(path, decode_times=False, chunks={"y": 400, "x": 300})
        assert isinstance(array, xr.DataArray)
        return array.squeeze(drop=True).assign_attrs(scale_factor=1e-4, add_offset=0.0, _FillValue=65535)

    files = dict(zip(BANDS, ("B02", "B03", "B04", "B08"), strict=True))
    raw = xr.Dataset({name: band(file) for name, file in files.items()})
    return raw.assign_attrs(scene="31UFS_20190411T105031_S2", tile="31UFS", sensor="S2")


def test_golden_statistics_of_the_flanders_scene(shared_data: Path) -> None:
    folder = shared_data / "sentinel2_flanders"
    dem = f"/vsizip/{folder / 'srtm' / 'N51E005.SRTMGL1.hgt.zip'}/N51E005.hgt"
    product = preprocess(flanders(folder), AuxiliarySources(dem=dem))
    contracts.validate(product, "preprocessed")
    means = {
        "blue": 0.057730,
        "green": 0.071160,
        "red": 0.076025,
        "nir": 0.206862,
        "ndvi": 0.487716,
        "relative_elevation": 0.002393,
        "slope": 2.242185,
    }
    computed = product.compute()
    for name, mean in means.items():
        assert float(computed[name].mean(dtype="float64")) == pytest.approx(mean, rel=2e-3, abs=1e-5)
        assert int(computed[name].isnull().sum()) == 0
    assert float(computed["relative_elevation"].min()) == pytest.approx(-8.4514, abs=1e-2)
    assert float(computed["slope"].max()) == pytest.approx(22.796, abs=1e-1)


def test_golden_statistics_of_the_peel_plateau(shared_data: Path) -> None:
    path = shared_data / "peel_plateau" / "S2_20210821T210019_20210821T210020_T08WMA.tif"
    bands = rioxarray.open_rasterio(path)
    assert isinstance(bands, xr.DataArray)
    positions = {"blue": 1, "green": 2, "red": 3, "nir": 7}
    raw = xr.Dataset({name: bands.sel(band=band, drop=True) for name, band in positions.items()})
    for name in raw:
        raw[name].attrs = {"scale_factor": 1e-4, "add_offset": 0.0, "_FillValue": 0}
    product = preprocess(raw.assign_attrs(scene="peel"))
    contracts.validate(product, "preprocessed")
    assert product["valid_data_mask"].values.mean() > 0.98
    assert 0.3 < float(product["ndvi"].mean()) < 0.8
    assert 0.05 < float(product["red"].mean()) < 0.12


def asked(raw: xr.Dataset, *features: str, **sources: str) -> xr.Dataset:
    return preprocess(raw, AuxiliarySources(**sources), PreprocessParameters(features=list(features)))


ALWAYS = {*BANDS, "valid_data_mask", "quality_data_mask", "quality_level"}


def test_only_what_is_asked_for_is_made(tmp_path: Path) -> None:
    raw, dem, trends = raw_scene(uniform()), dem_file(tmp_path / "dem.tif"), trends_file(tmp_path / "trends.tif")
    assert set(asked(raw, "red", dem="absent.tif", trends="absent.tif")) == ALWAYS, "nothing absent was opened"
    assert set(asked(raw, "gndvi", "NDWI", trends="absent.tif")) == ALWAYS | {"gndvi", "NDWI"}
    product = asked(raw, "dem", "slope", "tc_wetness", dem=dem, trends=trends)
    assert set(product) == ALWAYS | {"dem", "slope", "tc_wetness"}
    assert "ndvi" not in product


def test_every_feature_keeps_the_contract_and_its_place(tmp_path: Path) -> None:
    names = [row.name for row in (*contracts.INDICES, *contracts.TERRAIN, *contracts.TRENDS)]
    generator = np.random.default_rng(4)
    raw = raw_scene({name: generator.integers(1, 9000, (20, 30), dtype="uint16") for name in BANDS}, _FillValue=0)
    product = asked(
        raw, "NDWI", *names[::-1], dem=dem_file(tmp_path / "dem.tif"), trends=trends_file(tmp_path / "trends.tif")
    )
    contracts.validate(product, "preprocessed")
    order = [row.name for row in contracts.PRODUCTS["preprocessed"] if row.name in ALWAYS | set(names)]
    assert list(product) == [*order, "NDWI"]
    assert product["NDWI"].attrs["long_name"] == "Normalized Difference Water Index"
    back = contracts.decode(contracts.encode(product, "preprocessed"), "preprocessed")
    contracts.validate(back, "preprocessed")
    assert list(back) == list(product)
    np.testing.assert_array_equal(back["NDWI"], product["NDWI"])
    for name in names:
        assert not product[name].isnull().all(), name


def test_every_terrain_feature_is_that_of_the_whole_however_the_scene_is_cut(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    raw = raw_scene({name: generator.integers(0, 9000, (37, 53), dtype="uint16") for name in BANDS}, _FillValue=0)
    dem = dem_file(tmp_path / "dem.tif", gaps=True)
    names = [row.name for row in contracts.TERRAIN]
    whole = asked(raw, *names, dem=dem).compute()
    blocks = asked(raw.chunk({"y": (5, 30, 2), "x": (20, 33)}), *names, dem=dem)
    assert all(blocks[name].chunks == blocks["red"].chunks for name in names)
    xr.testing.assert_identical(whole, blocks.compute())
    assert 0 < int(whole["dem"].isnull().sum()) <= int(whole["slope"].isnull().sum()) < 60


def test_the_sun_of_the_scene_makes_the_shade(tmp_path: Path) -> None:
    raw, dem = raw_scene(uniform()), dem_file(tmp_path / "dem.tif")
    sun = {"view:sun_azimuth": 40.0, "view:sun_elevation": 60.0}
    lit = asked(raw.assign_attrs(stac_item={"properties": sun}), "hillshade", "dem", dem=dem)
    at_night = asked(
        raw.assign_attrs(stac_item={"properties": {**sun, "view:sun_elevation": -2}}), "hillshade", dem=dem
    )
    default = asked(raw, "hillshade", dem=dem)
    grid = Grid.of(raw)
    north = terrain.convergence(grid, slice(0, grid.height), slice(0, grid.width))
    inside = (slice(1, -1), slice(1, -1))
    for product, azimuth, elevation in ((lit, 40, 60), (default, 225, 25), (at_night, 225, 25)):
        expected = terrain.hillshade(lit["dem"].values, (10, 10), azimuth, elevation, north)
        np.testing.assert_allclose(product["hillshade"].values[inside], expected[inside], atol=1e-6)
    assert not default["hillshade"].isnull().any()


@pytest.mark.parametrize("bearing", [0, 90, 180, 270])
@pytest.mark.parametrize(("epsg", "x", "y"), [(32608, 300_000, 7_700_000), (3413, -2_000_000, 800_000)])
def test_a_slope_faces_true_north_in_the_scenes_own_crs(
    tmp_path: Path, bearing: int, epsg: int, x: float, y: float
) -> None:
    raw = raw_scene(uniform((64, 64)))
    raw = raw.assign_coords(y=y - 10 * np.arange(64), x=x + 10 * np.arange(64)).drop_vars("spatial_ref")
    raw = raw.rio.write_crs(epsg)
    place = Transformer.from_crs(epsg, 4326, always_xy=True).transform
    longitude, latitude = place(*np.meshgrid(raw["x"], raw["y"]))
    # elevations of the ground fall towards `bearing`, measured in metres north and east of the middle
    radius = 6_371_000 * np.pi / 180
    east = (longitude - longitude[32, 32]) * radius * np.cos(np.radians(latitude[32, 32]))
    north = (latitude - latitude[32, 32]) * radius
    turn = np.radians(bearing)
    path, values = tmp_path / "tilted.tif", 500 - 0.2 * (east * np.sin(turn) + north * np.cos(turn))
    profile = {"driver": "GTiff", "count": 1, "height": 64, "width": 64, "dtype": "float32"}
    transform = Affine(10, 0, x - 5, 0, -10, y + 5)
    with rasterio.open(path, "w", crs=CRS.from_epsg(epsg), transform=transform, **profile) as raster:
        raster.write(values.astype("float32"), 1)
    faces = asked(raw, "aspect", dem=str(path))["aspect"].values[32, 32]
    assert abs((faces - bearing + 180) % 360 - 180) < 0.5


def test_further_bands_are_carried_where_they_are_asked_for() -> None:
    numbers = uniform()
    numbers |= {"swir16": np.full((20, 30), 2500, "uint16"), "swir22": np.full((20, 30), 1500, "uint16")}
    numbers["swir16"][3, 4] = 0
    product = asked(raw_scene(numbers, _FillValue=0), "swir16", "NBR").compute()
    contracts.validate(product, "preprocessed")
    assert set(product) == ALWAYS | {"swir16", "NBR"}
    np.testing.assert_allclose(product["swir16"].values[0], 0.25)
    np.testing.assert_allclose(product["NBR"], (0.4 - 0.15) / (0.4 + 0.15), rtol=1e-6)
    assert np.argwhere(~product["valid_data_mask"].values).tolist() == [[3, 4]]
    with pytest.raises(PreprocessError, match=r"t_2021.*missing swir16, rededge071"):
        asked(raw_scene(uniform()), "NDREI", "swir16")


def test_an_unknown_feature_is_answered_with_near_ones() -> None:
    with pytest.raises(FeatureError, match=r"No feature 'hilshade' .* did you mean hillshade"):
        asked(raw_scene(uniform()), "hilshade")
    with pytest.raises(FeatureError, match="did you mean ndvi, NDVI"):
        asked(raw_scene(uniform()), "ndvii")


def test_a_feature_that_is_named_needs_its_source(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match=r"t_2021.*: slope cannot be made, for no dem is configured"):
        asked(raw_scene(uniform()), "slope", trends=trends_file(tmp_path / "trends.tif"))
    with pytest.raises(FeatureError, match="tc_wetness cannot be made, for no trends"):
        asked(raw_scene(uniform()), "tc_wetness")
