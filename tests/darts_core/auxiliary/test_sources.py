"""Auxiliary data in its many forms: tiles, overviews, Zarr, epochs, remote with a cache, and scenes in odd places."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from rasterio.crs import CRS
from support.stac_server import serving

from darts_core.auxiliary import (
    AuxiliaryError,
    AuxiliarySources,
    Cache,
    choose_sources,
    dem_resolution,
    fingerprint,
    read_dem,
    read_trends,
    trend_epoch,
)
from darts_core.grids import Grid

UTM = CRS.from_epsg(32608)
POLAR = CRS.from_epsg(3413)
DEGREES = CRS.from_epsg(4326)
GRID = Grid(UTM, Affine(10, 0, 513_000, 0, -10, 7_702_000), 60, 50)


def write(path: Path, bands: np.ndarray, transform: Affine, crs: CRS = UTM, names=(), overviews=(), **profile) -> str:  # type: ignore[no-untyped-def]
    count, height, width = bands.shape
    profile = {"driver": "GTiff", "dtype": bands.dtype, "transform": transform, "crs": crs, **profile}
    with rasterio.open(path, "w", count=count, height=height, width=width, **profile) as raster:
        raster.write(bands)
        if names:
            raster.descriptions = names
        if overviews:
            raster.build_overviews(overviews, rasterio.enums.Resampling.average)
    return str(path)


def around(grid: Grid, crs: CRS, pixel: float, margin: int = 60) -> tuple[Affine, int, int]:
    """Transform, height and width of a raster in another CRS that holds the grid."""
    columns, rows = np.meshgrid(np.linspace(0, grid.width, 9), np.linspace(0, grid.height, 9))
    x, y = grid.transform @ (columns.ravel(), rows.ravel())
    x, y = Transformer.from_crs(grid.crs, crs, always_xy=True).transform(x, y)
    left, top = np.floor(min(x) / pixel) * pixel - margin * pixel, np.ceil(max(y) / pixel) * pixel + margin * pixel
    width, height = int((max(x) - left) / pixel) + margin, int((top - min(y)) / pixel) + margin
    return Affine(pixel, 0, left, 0, -pixel, top), height, width


def hills(transform: Affine, height: int, width: int) -> np.ndarray:
    """A field that is a function of the place in its CRS, so that every raster of it agrees: (1, height, width)."""
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    x, y = transform @ (columns, rows)
    return (500 + 100 * np.sin(x / 400) + 80 * np.cos(y / 300)).astype("float32")[None]


def hills_on(grid: Grid, crs: CRS) -> np.ndarray:
    columns, rows = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    x, y = grid.transform @ (columns, rows)
    x, y = Transformer.from_crs(grid.crs, crs, always_xy=True).transform(x, y)
    return 500 + 100 * np.sin(np.asarray(x) / 400) + 80 * np.cos(np.asarray(y) / 300)


def arctic(path: Path, grid: Grid = GRID, **profile) -> str:  # type: ignore[no-untyped-def]
    transform, height, width = around(grid, POLAR, 10)
    return write(path, hills(transform, height, width), transform, POLAR, nodata=-9999, **profile)


def test_a_polar_dem_lies_where_it_is_on_the_scene(tmp_path: Path) -> None:
    np.testing.assert_allclose(read_dem(arctic(tmp_path / "d.tif"), GRID).values, hills_on(GRID, POLAR), atol=0.05)


@settings(max_examples=40)  # each warps two rasters
@given(st.data())
def test_tiles_are_the_raster_that_they_were_cut_from(tmp_path_factory: pytest.TempPathFactory, data) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("tiles")
    transform, height, width = around(GRID, POLAR, 10)
    values = hills(transform, height, width)
    row, column = data.draw(st.integers(1, height - 1)), data.draw(st.integers(1, width - 1))
    pieces = [(slice(0, row), slice(0, width)), (slice(row, height), slice(0, column))]
    pieces += [(slice(row, height), slice(column, width))]
    tiles = []
    for number, (rows, cols) in enumerate(data.draw(st.permutations(pieces))):
        place = transform @ Affine.translation(cols.start, rows.start)
        tiles.append(write(folder / f"{number}.tif", values[:, rows, cols], place, POLAR, nodata=-9999))
    whole = read_dem(write(folder / "whole.tif", values, transform, POLAR, nodata=-9999), GRID, 50)
    both = read_dem(tuple(tiles), GRID, 50)
    np.testing.assert_allclose(both.values, whole.values, atol=1e-4)
    assert both.attrs["coverage"] == 1.0


def test_of_two_tiles_at_one_place_the_earlier_is_taken_where_it_holds_data(tmp_path: Path) -> None:
    place = Affine(10, 0, 512_800, 0, -10, 7_702_200)
    first = np.full((1, 120, 120), 10, "float32")
    first[:, :, :60] = -9999
    other_lattice = Affine(7, 0, 512_000, 0, -7, 7_703_000)
    for transform, shape in ((place, (1, 120, 120)), (other_lattice, (1, 300, 300))):
        second = write(tmp_path / "b.tif", np.full(shape, 20, "float32"), transform, nodata=-9999)
        dem = read_dem((write(tmp_path / "a.tif", first, place, nodata=-9999), second), GRID).values
        assert set(np.unique(dem[:, :39])) == {20.0}
        assert set(np.unique(dem[:, 41:])) == {10.0}


def test_the_overview_that_fits_the_scene_is_read(tmp_path: Path) -> None:
    transform = Affine(2, 0, 512_000, 0, -2, 7_703_000)
    values = hills(transform, 2048, 2048)
    plain = read_dem(write(tmp_path / "plain.tif", values, transform), GRID)
    url = write(tmp_path / "pyramid.tif", values, transform, overviews=[2, 4, 8], tiled=True)
    np.testing.assert_allclose(read_dem(url, GRID).values, plain.values, atol=0.3)
    with rasterio.open(url, "r+", OVERVIEW_LEVEL=1) as overview:  # 8 m: what is no coarser than 10 m
        overview.write(np.full((512, 512), 77, "float32"), 1)
    assert set(np.unique(read_dem(url, GRID).values)) == {77.0}


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("packed", [False, True])
def test_a_zarr_store_is_read_as_the_same_geotiff(tmp_path: Path, version: int, packed: bool) -> None:
    url = arctic(tmp_path / "d.tif")
    array = xr.open_dataarray(url, engine="rasterio", masked=True)[0].drop_vars("band").rename("dem")
    store = array.astype("float32").drop_attrs(deep=False).to_dataset()
    encoding = {"dtype": "int16", "scale_factor": 0.5, "add_offset": 100.0, "_FillValue": -1} if packed else {}
    store.to_zarr(tmp_path / "d.zarr", zarr_format=version, encoding={"dem": encoding}, consolidated=version == 2)
    dem = read_dem(str(tmp_path / "d.zarr"), GRID, 40)
    np.testing.assert_allclose(dem.values, read_dem(url, GRID, 40).values, atol=0.3 if packed else 1e-4)


def test_a_zarr_store_is_read_over_http_and_from_s3(tmp_path: Path, s3: str) -> None:
    import s3fs

    store = xr.open_dataarray(arctic(tmp_path / "d.tif"), engine="rasterio")[0].drop_vars("band").to_dataset(name="dem")
    store.to_zarr(tmp_path / "d.zarr", zarr_format=3, consolidated=True)
    expected = read_dem(str(tmp_path / "d.zarr"), GRID).values
    with serving(tmp_path) as server:
        url = f"{server.url}/files/d.zarr"
        np.testing.assert_array_equal(read_dem(url, GRID).values, expected)
        assert len(fingerprint(AuxiliarySources(dem=url))["dem"]) == 64
    options = {"endpoint_url": s3}
    filesystem = s3fs.S3FileSystem(**options)
    filesystem.makedirs("auxiliary", exist_ok=True)
    filesystem.put(str(tmp_path / "d.zarr"), "auxiliary/", recursive=True)
    np.testing.assert_array_equal(read_dem("s3://auxiliary/d.zarr", GRID, storage_options=options).values, expected)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda store: store.drop_vars("spatial_ref"), "no CRS"),
        (lambda store: store.assign_coords(x=np.arange(store.sizes["x"]) ** 2.0), "not evenly spaced"),
        (lambda store: store.rename(y="north", x="east"), r"expected variables with the axes \(y, x\)"),
        (lambda store: store.assign(other=store["dem"]).rename(dem="height"), "expected one band of elevations"),
    ],
)
def test_a_zarr_store_that_is_no_raster_says_what_it_lacks(tmp_path: Path, spoil, message: str) -> None:  # type: ignore[no-untyped-def]
    store = xr.open_dataarray(arctic(tmp_path / "d.tif"), engine="rasterio")[0].drop_vars("band").to_dataset(name="dem")
    spoil(store).to_zarr(tmp_path / "d.zarr", consolidated=False)
    with pytest.raises(AuxiliaryError, match=message):
        read_dem(str(tmp_path / "d.zarr"), GRID)


def test_a_zarr_store_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(AuxiliaryError, match=r"none\.zarr cannot be opened"):
        read_dem(str(tmp_path / "none.zarr"), GRID)


ANTIMERIDIAN = Grid(CRS.from_epsg(32601), Affine(1000, 0, 275_000, 0, -1000, 7_600_000), 200, 200)


@pytest.mark.parametrize("west", [-180.0, 0.0])
def test_trends_of_a_scene_at_the_antimeridian_are_read_from_both_ends_of_the_world(
    tmp_path: Path, west: float
) -> None:
    pixel = 0.05
    longitude = west + pixel * (np.arange(7200) + 0.5)
    level = 100 + 80 * np.sin(np.radians(longitude) * 20)
    values = np.broadcast_to(level, (3, 300, 7200)).round().astype("uint8")
    names = ("tc_brightness", "tc_greenness", "tc_wetness")
    url = write(tmp_path / "t.tif", values, Affine(pixel, 0, west, 0, -pixel, 73), DEGREES, names)
    trends = read_trends(url, ANTIMERIDIAN)
    columns, rows = np.meshgrid(np.arange(200) + 0.5, np.arange(200) + 0.5)
    east, north = ANTIMERIDIAN.transform @ (columns, rows)
    at, _ = Transformer.from_crs(ANTIMERIDIAN.crs, DEGREES, always_xy=True).transform(east, north)
    assert np.ptp(at) > 359, "the scene is on both sides"
    assert trends.attrs["coverage"] == 1.0
    expected = 100 + 80 * np.sin(np.radians(at) * 20)
    np.testing.assert_allclose(trends["tc_wetness"].values.astype(float), expected, atol=1.5)


def test_two_rasters_that_end_at_the_antimeridian_are_one(tmp_path: Path) -> None:
    names = ("tc_brightness", "tc_greenness", "tc_wetness")
    values = np.full((3, 300, 200), 50, "uint8")
    east = write(tmp_path / "e.tif", values, Affine(0.05, 0, 170, 0, -0.05, 73), DEGREES, names)
    west = write(tmp_path / "w.tif", values + 10, Affine(0.05, 0, -180, 0, -0.05, 73), DEGREES, names)
    trends = read_trends((east, west), ANTIMERIDIAN)["tc_greenness"].values
    assert (trends[:, :20] == 50).all()
    assert (trends[:, -20:] == 60).all()
    assert trends.min() == 50, "no seam of nodata"


def test_a_scene_across_the_border_of_two_utm_zones_takes_its_dem_from_both(tmp_path: Path) -> None:
    border = Grid(CRS.from_epsg(32608), Affine(100, 0, 600_000, 0, -100, 7_600_000), 100, 300)
    east, _ = Transformer.from_crs(border.crs, DEGREES, always_xy=True).transform(
        [600_000, 630_000], [7_595_000, 7_595_000]
    )
    assert east[0] < -132 < east[1]
    tiles = []
    for zone in (32608, 32609):
        transform, height, width = around(border, CRS.from_epsg(zone), 90, 5)
        columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        x, y = transform @ (columns, rows)
        longitude, latitude = Transformer.from_crs(zone, DEGREES, always_xy=True).transform(x, y)
        values = (1000 * (np.asarray(latitude) - 68)).astype("float32")
        outside = np.asarray(longitude) > -131.99 if zone == 32608 else np.asarray(longitude) <= -132.01
        values[outside] = -9999
        tiles.append(write(tmp_path / f"{zone}.tif", values[None], transform, CRS.from_epsg(zone), nodata=-9999))
    dem = read_dem(tuple(tiles), border)
    columns, rows = np.meshgrid(np.arange(300) + 0.5, np.arange(100) + 0.5)
    x, y = border.transform @ (columns, rows)
    _, latitude = Transformer.from_crs(border.crs, DEGREES, always_xy=True).transform(x, y)
    np.testing.assert_allclose(dem.values, 1000 * (np.asarray(latitude) - 68), atol=1)


@pytest.mark.parametrize("of", ["scene", "dem"])
def test_the_vertical_part_of_a_crs_moves_nothing(tmp_path: Path, of: str) -> None:
    flat = read_dem(arctic(tmp_path / "d.tif"), GRID)
    compound = CRS.from_user_input("EPSG:32608+5773") if of == "scene" else UTM
    grid = Grid(compound, GRID.transform, GRID.height, GRID.width)
    url = arctic(tmp_path / "d.tif")
    if of == "dem":
        with rasterio.open(url, "r+") as raster:
            raster.crs = CRS.from_user_input("EPSG:3413+3855")
    dem = read_dem(url, grid)
    np.testing.assert_array_equal(dem.values, flat.values)
    assert dem.rio.crs == compound


@pytest.mark.parametrize(
    ("year", "epoch"), [(2011, 2019), (2019, 2019), (2020, 2020), (2021, 2022), (2023, 2024), (2026, 2024)]
)
def test_the_epoch_of_trends_follows_the_year(year: int, epoch: int) -> None:
    assert trend_epoch(year) == epoch


@pytest.mark.parametrize(("pixel", "metres"), [(0.5, 2), (3, 2), (9.9, 10), (10, 10), (30, 10), (60, 32)])
def test_the_resolution_of_a_dem_follows_the_scene(pixel: float, metres: int) -> None:
    assert dem_resolution(pixel) == metres


def test_templates_and_mappings_are_settled_for_a_scene(tmp_path: Path) -> None:
    sources = AuxiliarySources(dem="dem_{resolution}m.tif", trends="t_{epoch}.tif")
    settled = choose_sources(sources, GRID, "2021-08-21T21:00:19+00:00")
    assert (settled.dem, settled.trends) == ("dem_10m.tif", "t_2022.tif")
    assert choose_sources(settled, GRID, None) == settled
    by_epoch = AuxiliarySources(trends={2019: "old.tif", 2024: "new.tif"})
    assert choose_sources(by_epoch, GRID, "2020-07-01T00:00:00+00:00").trends == "new.tif"
    with pytest.raises(AuxiliaryError, match="does not say when it was acquired"):
        choose_sources(sources, GRID, None)


def test_only_the_tiles_that_the_scene_touches_count(tmp_path: Path) -> None:
    near = arctic(tmp_path / "near.tif")
    far = Grid(UTM, Affine(10, 0, 613_000, 0, -10, 7_702_000), 60, 50)
    arctic(tmp_path / "remote.tif", far)
    pattern = AuxiliarySources(dem=f"{tmp_path}/*.tif")
    settled = choose_sources(pattern, GRID, None)
    assert settled.dem == near
    before = fingerprint(settled)
    arctic(tmp_path / "remote.tif", far, compress="deflate")
    assert fingerprint(choose_sources(pattern, GRID, None)) == before, "what lies elsewhere changes nothing here"
    with pytest.raises(AuxiliaryError, match=r"no file matches .*\.vrt"):
        choose_sources(AuxiliarySources(dem=f"{tmp_path}/*.vrt"), GRID, None)
    with pytest.raises(AuxiliaryError, match="none of the 2 rasters"):
        choose_sources(pattern, Grid(UTM, Affine(10, 0, 313_000, 0, -10, 7_702_000), 60, 50), None)


def test_what_was_read_of_a_server_is_not_asked_for_again_until_it_changes(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path / "cache"))
    (tmp_path / "www").mkdir()
    expected = read_dem(arctic(tmp_path / "www" / "d.tif", tiled=True), GRID, 40).values
    with serving(tmp_path / "www") as server:
        url = f"{server.url}/files/d.tif"
        first = read_dem(url, GRID, 40, cache=cache).values
        np.testing.assert_array_equal(first, expected)
        lazy = read_dem(url, GRID, 40, cache=cache)
        asked = sum(server.requests.values())
        np.testing.assert_array_equal(lazy.values, expected)
        assert sum(server.requests.values()) == asked, "pixels came from the cache"
        with rasterio.open(tmp_path / "www" / "d.tif", "r+") as raster:
            raster.write(np.full(raster.shape, 7, "float32"), 1)
        assert set(np.unique(read_dem(url, GRID, 40, cache=cache).values)) == {7.0}


def test_a_damaged_or_missing_file_of_the_cache_is_read_anew_and_its_size_is_bounded(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    numbers = rng.random((2, 1300, 1100), np.float32)

    def read(bands, rows: slice, cols: slice) -> np.ndarray:  # type: ignore[no-untyped-def]
        return numbers[[band - 1 for band in bands], rows, cols]

    cache = Cache(str(tmp_path), capacity=6 * 2**20)
    windows = [(slice(3, 700), slice(100, 1100)), (slice(500, 1300), slice(0, 40)), (slice(3, 700), slice(5, 9))]
    for _ in range(2):
        for rows, cols in windows:
            got = cache.read("a", [2, 1], rows, cols, numbers.shape[1:], read)
            np.testing.assert_array_equal(got, numbers[[1, 0], rows, cols])
        for path in tmp_path.glob("*/*.npy"):
            path.write_bytes(path.read_bytes()[:-100])
    assert sum(path.stat().st_size for path in tmp_path.glob("*/*")) <= 6 * 2**20
    assert not list(tmp_path.glob("*/*.part"))


def test_a_remote_raster_that_is_cut_off_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = Path(arctic(tmp_path / "d.tif", tiled=True, compress="deflate"))
    content = path.read_bytes()
    with serving(tmp_path) as server:
        lazy = read_dem(f"{server.url}/files/d.tif", GRID)
        path.write_bytes(content[: len(content) // 3])
        with pytest.raises(AuxiliaryError, match=r"files/d\.tif cannot be read in rows"):
            lazy.compute()
