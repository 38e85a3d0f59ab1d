"""Auxiliary rasters on a scene's grid: where they lie, what they hold, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from scipy import ndimage

from darts_core.auxiliary import AuxiliaryError, AuxiliarySources, fingerprint, read_dem, read_trends
from darts_core.grids import Grid, GridError

UTM = CRS.from_epsg(32608)
GRID = Grid(UTM, Affine(10, 0, 513_000, 0, -10, 7_702_000), 40, 30)


def write(path: Path, bands: np.ndarray, transform: Affine, crs: CRS | None = UTM, **profile) -> str:  # type: ignore[no-untyped-def]
    descriptions = profile.pop("descriptions", ())
    count, height, width = bands.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=count,
        height=height,
        width=width,
        dtype=bands.dtype,
        transform=transform,
        crs=crs,
        **profile,
    ) as raster:
        raster.write(bands)
        if descriptions:
            raster.descriptions = descriptions
    return str(path)


def plane(path: Path, *, left: float = 512_000.0, **profile) -> str:  # type: ignore[no-untyped-def]
    """A DEM of 5 m with elevation = easting - 512000."""
    x = left + 5 * (np.arange(600) + 0.5)
    values = np.broadcast_to(x - 512_000, (1, 500, 600)).astype("float32")
    return write(path, values, Affine(5, 0, left, 0, -5, 7_703_000), nodata=-9999, **profile)


def trends(path: Path, descriptions=("TCB_slope", "TCG_slope", "TCW_slope"), dtype: str = "uint8") -> str:  # type: ignore[no-untyped-def]
    values = np.stack([np.full((300, 300), level, dtype) for level in (10, 20, 30)])
    return write(path, values, Affine(10, 0, 512_000, 0, -10, 7_703_000), descriptions=descriptions)


def test_a_plane_keeps_its_elevations_at_the_pixel_centres(tmp_path: Path) -> None:
    dem = read_dem(plane(tmp_path / "dem.tif"), GRID, buffer_m=95)
    assert dem.shape == (60, 50)
    assert dem.attrs["buffer_pixels"] == (10, 10)
    assert dem.attrs["coverage"] == 1.0
    assert dem.dtype == np.float32
    assert dem.rio.crs == UTM
    np.testing.assert_allclose(dem.values, np.broadcast_to(dem["x"].values - 512_000, dem.shape), atol=1e-3)
    assert dem["x"].values[0] == 512_905
    assert dem["y"].values[0] == 7_702_095


def test_elevations_are_clipped(tmp_path: Path) -> None:
    values = np.full((1, 200, 200), 9000, "float32")
    values[:, 100:] = -9000
    dem = read_dem(write(tmp_path / "d.tif", values, Affine(10, 0, 512_800, 0, -10, 7_702_900)), GRID)
    assert float(dem.max()) == 3000
    assert float(dem.min()) == -100


@pytest.mark.parametrize("pixel", [10, 37])
def test_blocks_do_not_change_a_reprojected_dem(shared_data: Path, pixel: int) -> None:
    folder = shared_data / "sentinel2_flanders" / "srtm"
    url = f"/vsizip/{folder}/N51E005.SRTMGL1.hgt.zip/N51E005.hgt"
    grid = Grid(CRS.from_epsg(32631), Affine(pixel, 0, 655_360, 0, -pixel, 5_686_280), 200, 100)
    whole = read_dem(url, grid, 100)
    blocks = read_dem(url, grid, 100, ((70, 1, 129), (33, 67)))
    rows, columns = whole.attrs["buffer_pixels"]
    assert blocks.chunks == ((70 + rows, 1, 129 + rows), (33 + columns, 67 + columns))
    np.testing.assert_array_equal(whole.values, blocks.values)


def test_a_reprojected_dem_is_the_bilinear_one(shared_data: Path) -> None:
    folder = shared_data / "sentinel2_flanders" / "srtm"
    url = f"/vsizip/{folder}/N51E005.SRTMGL1.hgt.zip/N51E005.hgt"
    grid = Grid(CRS.from_epsg(32631), Affine(10, 0, 655_360, 0, -10, 5_686_280), 100, 80)
    with rasterio.open(url) as raster:
        source, inverse = raster.read(1), ~raster.transform
    x, y = np.meshgrid(655_365 + 10 * np.arange(80), 5_686_275 - 10 * np.arange(100))
    longitude, latitude = rasterio.warp.transform(grid.crs, "EPSG:4326", x.ravel(), y.ravel())
    column, row = inverse.a * np.array(longitude) + inverse.c, inverse.e * np.array(latitude) + inverse.f
    expected = ndimage.map_coordinates(source.astype(float), (row - 0.5, column - 0.5), order=1)
    dem = read_dem(url, grid).values
    assert 20 < dem.mean() < 70
    np.testing.assert_allclose(dem, expected.reshape(dem.shape), atol=2e-3)


def test_what_a_dem_does_not_cover_is_nan_and_its_share_is_reported(tmp_path: Path) -> None:
    dem = read_dem(plane(tmp_path / "dem.tif", left=513_150.0), GRID)
    assert dem.attrs["coverage"] == pytest.approx(0.5, abs=0.02)
    missing = np.isnan(dem.values)
    assert missing[:, :14].all()
    assert not missing[:, 16:].any()


def test_nodata_of_a_dem_is_nan(tmp_path: Path) -> None:
    values = np.full((1, 200, 200), 50, "int16")
    values[:, 60:62] = -32768
    url = write(tmp_path / "d.tif", values, Affine(10, 0, 512_800, 0, -10, 7_702_500), nodata=-32768)
    dem = read_dem(url, GRID).values
    assert np.isnan(dem).any()
    assert set(np.unique(dem[~np.isnan(dem)])) == {50.0}


@pytest.mark.parametrize("pixel", [3, 10, 60])
def test_a_gap_changes_no_bit_of_what_lies_beside_it(tmp_path: Path, pixel: int) -> None:
    values = np.random.default_rng(4).normal(300, 40, (1, 300, 300)).astype("float32")
    place, grid = (
        Affine(10, 0, 512_503, 0, -10, 7_702_502),
        Grid(UTM, Affine(pixel, 0, 513_000, 0, -pixel, 7_702_000), 40, 30),
    )
    whole = read_dem(write(tmp_path / "whole.tif", values, place), grid).values
    values[:, 50:58, 50:58] = -9999
    gap = read_dem(write(tmp_path / "gap.tif", values, place, nodata=-9999), grid).values
    missing = np.isnan(gap)
    assert missing.any()
    assert not np.isnan(whole).any()
    reached = ndimage.binary_dilation(missing, iterations=2 * max(1, 10 // pixel) + 1)
    assert not reached.all()
    np.testing.assert_array_equal(gap[~reached], whole[~reached])


def test_a_dem_elsewhere_says_where(tmp_path: Path) -> None:
    with pytest.raises(AuxiliaryError, match=r"far.tif does not cover .* columns -\d+\.\.-\d+"):
        read_dem(plane(tmp_path / "far.tif", left=700_000.0), GRID)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: str(path), "cannot be opened"),
        (
            lambda path: write(path, np.zeros((1, 9, 9), "f4"), Affine(10, 0, 513_000, 0, -10, 7_702_000), None),
            "no CRS",
        ),
        (lambda path: write(path, np.zeros((2, 9, 9), "f4"), Affine(10, 0, 513_000, 0, -10, 7_702_000)), "one band"),
    ],
)
def test_a_dem_that_is_none_is_refused(tmp_path: Path, make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(AuxiliaryError, match=message):
        read_dem(make(tmp_path / "d.tif"), GRID)


def test_metres_need_a_projected_crs(tmp_path: Path) -> None:
    degrees = Grid(CRS.from_epsg(4326), Affine(1e-4, 0, -134, 0, -1e-4, 69), 10, 10)
    with pytest.raises(GridError, match=r"projected CRS.*EPSG:4326"):
        read_dem(plane(tmp_path / "dem.tif"), degrees, 100)


@pytest.mark.parametrize(
    ("descriptions", "levels"),
    [
        (("TCB_slope", "TCG_slope", "TCW_slope"), (10, 20, 30)),
        (("tc_wetness", "tc_brightness", "tc_greenness"), (20, 30, 10)),
    ],
)
def test_trends_are_named_by_their_descriptions(tmp_path: Path, descriptions, levels) -> None:  # type: ignore[no-untyped-def]
    read = read_trends(trends(tmp_path / "t.tif", descriptions), GRID)
    assert list(read) == ["tc_brightness", "tc_greenness", "tc_wetness"]
    for array, level in zip(read.data_vars.values(), levels, strict=True):
        assert array.dtype == np.uint8
        assert array.shape == GRID.shape
        assert (array.values == level).all()


@pytest.mark.parametrize("descriptions", [(), ("red", "green", "blue"), ("TCB_slope", "TCG_slope", None)])
def test_three_bands_are_not_trends_by_their_number(tmp_path: Path, descriptions) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(AuxiliaryError, match="expected bands described as tc_brightness"):
        read_trends(trends(tmp_path / "t.tif", descriptions), GRID)


def test_trends_are_bytes(tmp_path: Path) -> None:
    with pytest.raises(AuxiliaryError, match="expected uint8, received uint16"):
        read_trends(trends(tmp_path / "t.tif", dtype="uint16"), GRID)


def test_a_fingerprint_follows_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = AuxiliarySources(dem=plane(tmp_path / "a" / "dem.tif"))
    same = AuxiliarySources(dem=plane(tmp_path / "b" / "dem.tif"))
    assert fingerprint(first) == fingerprint(same)
    assert fingerprint(first).keys() == {"dem"}
    assert fingerprint(AuxiliarySources()) == {}
    before = fingerprint(first)
    with rasterio.open(str(first.dem), "r+") as raster:
        raster.write(np.full((1, 1), 7, "float32"), 1, window=((5, 6), (5, 6)))
    assert fingerprint(first) != before


def test_a_fingerprint_covers_the_tiles_of_a_vrt(tmp_path: Path) -> None:
    tile = plane(tmp_path / "tile.tif")
    vrt = tmp_path / "all.vrt"
    vrt.write_text(
        f'<VRTDataset rasterXSize="600" rasterYSize="500"><SRS>{UTM.to_wkt()}</SRS>'
        "<GeoTransform>512000, 5, 0, 7703000, 0, -5</GeoTransform>"
        '<VRTRasterBand dataType="Float32" band="1"><SimpleSource>'
        '<SourceFilename relativeToVRT="1">tile.tif</SourceFilename><SourceBand>1</SourceBand>'
        '<SrcRect xOff="0" yOff="0" xSize="600" ySize="500"/><DstRect xOff="0" yOff="0" xSize="600" ySize="500"/>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    np.testing.assert_array_equal(read_dem(str(vrt), GRID).values, read_dem(tile, GRID).values)
    before = fingerprint(AuxiliarySources(dem=str(vrt)))
    with rasterio.open(tile, "r+") as raster:
        raster.write(np.full((1, 1), 7, "float32"), 1, window=((5, 6), (5, 6)))
    assert fingerprint(AuxiliarySources(dem=str(vrt))) != before


def test_a_fingerprint_of_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AuxiliaryError, match="cannot be opened"):
        fingerprint(AuxiliarySources(trends=str(tmp_path / "none.tif")))


def test_a_fingerprint_of_a_zipped_raster_is_that_of_the_zip(shared_data: Path) -> None:
    folder = shared_data / "sentinel2_flanders" / "srtm"
    url = f"/vsizip/{folder}/N51E005.SRTMGL1.hgt.zip/N51E005.hgt"
    assert len(fingerprint(AuxiliarySources(dem=url))["dem"]) == 64
