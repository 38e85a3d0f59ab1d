"""Known shifts of real and synthetic scenes: measured, applied, and refused where they cannot be believed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401
import xarray as xr
from affine import Affine
from rasterio.crs import CRS
from rasterio.warp import Resampling, calculate_default_transform, reproject

from darts_core.coregistration.coregister import UnreliableShift, coregister, measure_shift
from darts_core.coregistration.parameters import CoregistrationParameters
from darts_core.coregistration.reference import CoregistrationError
from darts_core.grids import Grid
from darts_core.synthetic import grid as synthetic
from darts_core.synthetic.landscape import Landscape, make_landscape
from darts_core.synthetic.observation import observe, sky
from darts_core.synthetic.surface import BANDS, surface

EAST, NORTH = 500_000.0, 7_500_000.0
PIXEL = 10.0
PARAMETERS = CoregistrationParameters()


def place(values: np.ndarray, pixel: float = PIXEL, crs: int = 32608) -> Grid:
    return Grid(CRS.from_epsg(crs), Affine(pixel, 0, EAST, 0, -pixel, NORTH), *values.shape)


def dataset(values: np.ndarray, pixel: float = PIXEL, **others: np.ndarray) -> xr.Dataset:
    variables = {name: (("y", "x"), array) for name, array in {"red": values, **others}.items()}
    return xr.Dataset(variables, place(values, pixel).coordinates(), {"scene": "made-up"})


def write(path: Path, bands: np.ndarray, grid: Grid, descriptions: tuple[str, ...] = (), **profile: object) -> str:
    shape = {"count": len(bands), "height": grid.height, "width": grid.width, "dtype": bands.dtype}
    with rasterio.open(path, "w", "GTiff", crs=grid.crs, transform=grid.transform, **{**shape, **profile}) as target:
        target.write(bands)
        if descriptions:
            target.descriptions = descriptions
    return str(path)


def blocks(values: np.ndarray, factor: int, row: int, column: int) -> np.ndarray:
    """Means of `factor` x `factor` pixels from (row, column) on: an exact shift by fractions of a coarser pixel."""
    height, width = ((length - first) // factor for length, first in zip(values.shape, (row, column), strict=True))
    cut = values[row : row + height * factor, column : column + width * factor]
    return cut.reshape(height, factor, width, factor).mean((1, 3))


@pytest.fixture(scope="module")
def flanders(shared_data: Path) -> dict[str, np.ndarray]:
    """Red of one real Sentinel-2 scene at the top of the atmosphere and at the surface."""
    folder = shared_data / "sentinel2_flanders" / "atmocorr"
    names = {"toa": "ref_input_S2_B04", "surface": "ref_check_icor_S2_B04"}
    return {name: rasterio.open(folder / f"{file}.tif").read(1).astype(np.float32) for name, file in names.items()}


@pytest.fixture(scope="module")
def landscape() -> Landscape:
    west, south = 513_000, 7_650_000
    return make_landscape(5, (west, south, west + 6000, south + 6000))


@pytest.fixture(scope="module")
def seen(landscape: Landscape) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Red, and cloud or shadow, of the middle of the landscape, seen off by (x, y) metres."""

    def see(x_m: float, y_m: float, *, clouds: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        west, south, east, north = landscape.grid.bounds
        grid = synthetic.Grid.of((west + 400, south + 400, east - 400, north - 400), PIXEL)
        x, y = grid.centers()
        above = sky(grid, clouds, seed)
        ground = surface(landscape, x + x_m, y + y_m, PIXEL).reflectance
        bands = observe(ground, above, 0.004, np.random.default_rng(seed))
        return bands[BANDS.index("red")].astype(np.float32), (above.cloud > 0.1) | (above.shadow > 0.1)

    return see


@pytest.mark.parametrize("reference", ["toa", "surface"])
@pytest.mark.parametrize(
    ("factor", "row", "column"), [(1, 3, 7), (1, 0, 0), (2, 1, 0), (2, 1, 1), (3, 1, 2), (2, 9, 7), (3, 2, 4)]
)
def test_fractions_of_a_pixel_on_a_real_scene(flanders, tmp_path, reference, factor, row, column):
    """The scene begins (row, column) fine pixels further on than the place that it claims."""
    whole = blocks(flanders[reference], factor, 0, 0)
    path = write(tmp_path / "reference.tif", whole[None], place(whole))
    shift = measure_shift(dataset(blocks(flanders["surface"], factor, row, column)), path)
    assert (shift.rows, shift.columns) == pytest.approx((row / factor, column / factor), abs=0.1)
    assert (shift.x_m, shift.y_m) == pytest.approx((PIXEL * shift.columns, -PIXEL * shift.rows))
    assert shift.reliability > 60


@pytest.mark.parametrize(("x_m", "y_m"), [(0, 0), (3.3, -1.7), (-24.6, 41.2), (66.6, 60.5)])
@pytest.mark.parametrize(("clouds", "masked"), [(0, False), (0.1, False), (0.1, True), (0.3, True)])
def test_two_acquisitions_with_noise_and_clouds_of_their_own(seen, tmp_path, x_m, y_m, clouds, masked):
    red, hidden = seen(x_m, y_m, clouds=clouds, seed=1)
    before, _ = seen(0, 0, clouds=clouds, seed=2)
    path = write(tmp_path / "reference.tif", before[None], place(before))
    quality = {"quality_level": np.where(hidden, 1, 2).astype(np.uint8)} if masked else {}
    shift = measure_shift(dataset(red, **quality), path)
    assert (shift.x_m, shift.y_m) == pytest.approx((x_m, y_m), abs=0.1 * PIXEL)
    assert 1 <= shift.windows <= shift.compared


def test_no_data_in_either_does_not_draw_the_shift_to_zero(seen, tmp_path):
    """A swath that ends in the scene, and another one in the reference, as numbers with their nodata."""
    red, _ = seen(23.7, -14.2, clouds=0, seed=1)
    before, _ = seen(0, 0, clouds=0, seed=2)
    numbers, old = (np.rint(np.clip(values, 0.0001, 1) * 10_000).astype(np.uint16) for values in (red, before))
    rows, columns = np.indices(numbers.shape)
    numbers[rows + columns < 380], old[rows > 400] = 0, 65535
    path = write(tmp_path / "reference.tif", old[None], place(old), nodata=65535)
    scene = dataset(numbers)
    scene["red"].attrs = {"scale_factor": 1e-4, "add_offset": 0.0, "_FillValue": np.uint16(0)}
    shift = measure_shift(scene, path)
    assert (shift.x_m, shift.y_m) == pytest.approx((23.7, -14.2), abs=0.1 * PIXEL)


def test_a_reference_in_another_crs_and_resolution(seen, tmp_path):
    red, _ = seen(12.4, 33.1, clouds=0, seed=1)
    before, _ = seen(0, 0, clouds=0, seed=2)
    grid = place(before)
    bounds = (EAST, NORTH - grid.height * PIXEL, EAST + grid.width * PIXEL, NORTH)
    transform, width, height = calculate_default_transform(
        grid.crs, "EPSG:3413", grid.width, grid.height, *bounds, resolution=8
    )
    polar = Grid(CRS.from_epsg(3413), transform, height, width)
    warped = np.full((1, height, width), np.nan, np.float32)
    reproject(
        before,
        warped,
        src_transform=grid.transform,
        src_crs=grid.crs,
        dst_transform=transform,
        dst_crs=polar.crs,
        dst_nodata=np.nan,
        resampling=Resampling.cubic_spline,
        tolerance=1e-6,
    )
    path = write(tmp_path / "reference.tif", warped, polar, nodata=np.nan)
    shift = measure_shift(dataset(red), path)
    assert (shift.x_m, shift.y_m) == pytest.approx((12.4, 33.1), abs=0.1 * PIXEL)


@pytest.fixture
def shifted(flanders, tmp_path) -> tuple[xr.Dataset, str]:
    """A raw scene that lies 3 rows and 7 columns off, with a class and a mask of several bands, and its reference."""
    whole = flanders["surface"].astype(np.uint16)
    path = write(tmp_path / "reference.tif", whole[None], place(whole), nodata=0)
    red = whole[3:, 7:]
    scene = dataset(red, scl=np.where(red > 900, 5, 4).astype(np.uint8))
    scene["red"].attrs = {"scale_factor": 1e-4, "add_offset": 0.0, "_FillValue": np.uint16(0)}
    bits = np.stack([red % 2, red % 3]).astype(np.uint8)
    return scene.assign(bits=(("bit", "y", "x"), bits)).chunk(y=200, x=200), path


def test_by_default_the_place_changes_and_no_value(shifted):
    scene, path = shifted
    before = scene.copy(deep=True)
    moved = coregister(scene, path)
    assert moved.red.chunks is not None
    xr.testing.assert_identical(scene, before)
    for name in scene:
        np.testing.assert_array_equal(moved[name].values, scene[name].values)
        assert moved[name].attrs == scene[name].attrs
    transform, was = Grid.of(moved).transform, Grid.of(scene).transform
    assert (transform.c - was.c, transform.f - was.f) == pytest.approx((70, -30), abs=0.1)
    assert transform.c - was.c == pytest.approx(moved.attrs["coregistration_x_m"])
    np.testing.assert_allclose(moved.x - scene.x, moved.attrs["coregistration_x_m"])
    assert moved.attrs["coregistration"] == "shifted"
    assert moved.attrs["coregistration_windows"] > 1
    again = measure_shift(moved, path)
    assert (again.rows, again.columns) == pytest.approx((0, 0), abs=0.02)


def test_on_request_it_is_resampled_onto_the_pixels_of_the_reference(shifted):
    scene, path = shifted
    moved = coregister(scene, path, CoregistrationParameters(resample=True))
    assert moved.red.chunks is not None
    assert {name: array.dtype for name, array in moved.items()} == {name: array.dtype for name, array in scene.items()}
    with rasterio.open(path) as source:
        whole, own = source.read(1), source.transform
    grid = Grid.of(moved)
    column, row = ~own @ (grid.transform.c, grid.transform.f)
    assert (row % 1, column % 1) == pytest.approx((0, 0), abs=1e-6)
    row, column = round(row), round(column)
    there = whole[row : row + grid.height, column : column + grid.width]
    red = moved.red.to_numpy()
    held = red != 0
    assert held.mean() > 0.98
    # found to 0.01 pixels, so that a bilinear value is that of the pixel but for as much of its neighbours
    assert np.abs(red[held].astype(float) - there[held]).mean() < 5
    inner = np.s_[8:-8, 8:-8]
    np.testing.assert_array_equal(moved.scl.to_numpy()[inner], np.where(there > 900, 5, 4)[inner])
    np.testing.assert_array_equal(moved.bits.to_numpy()[1][inner], (there % 3)[inner])
    assert moved.attrs["coregistration"] == "resampled"


def test_resampling_needs_a_nodata(shifted):
    scene, path = shifted
    scene["red"].attrs.pop("_FillValue")
    with pytest.raises(CoregistrationError, match="red declares no nodata"):
        coregister(scene, path, CoregistrationParameters(resample=True))
    assert coregister(scene, path).attrs["coregistration"] == "shifted"


def test_a_shift_beyond_the_limit_is_refused_or_left(shifted):
    scene, path = shifted
    limited = CoregistrationParameters(limit_px=5)
    with pytest.raises(UnreliableShift, match=r"made-up against .*shift of 7\.6 pixels, more than the limit of 5"):
        coregister(scene, path, limited)
    kept = coregister(scene, path, limited.model_copy(update={"keep_unreliable": True}))
    assert kept.attrs["coregistration"].startswith("not shifted: ")
    xr.testing.assert_identical(kept.drop_attrs(deep=False), scene.drop_attrs(deep=False))


def test_another_place_is_not_believed(flanders, tmp_path):
    upper, lower = flanders["surface"][:512], flanders["surface"][512:]
    path = write(tmp_path / "reference.tif", lower[None], place(lower))
    with pytest.raises(UnreliableShift, match="reliability of 30 %"):
        measure_shift(dataset(upper), path)


def test_noise_and_nothing_are_not_believed(tmp_path):
    rng = np.random.default_rng(0)
    scene, path = rng.normal(size=(300, 300)).astype(np.float32), tmp_path / "reference.tif"
    for values, found in ((rng.normal(size=(300, 300)), r"best of \d"), (np.ones((300, 300)), "best of 0")):
        write(path, values.astype(np.float32)[None], place(values))
        with pytest.raises(UnreliableShift, match=found):
            measure_shift(dataset(scene), str(path))


def test_a_reference_beside_the_scene_is_not_believed(flanders, tmp_path):
    grid = place(flanders["surface"])
    away = Grid(grid.crs, Affine.translation(200_000, 0) @ grid.transform, *grid.shape)
    path = write(tmp_path / "reference.tif", flanders["surface"][None], away)
    with pytest.raises(UnreliableShift, match="best of 0"):
        measure_shift(dataset(flanders["surface"]), path)


def test_windows_that_do_not_agree_are_refused(flanders, tmp_path):
    """A reference that is stretched along its rows: no single shift is right."""
    whole = flanders["surface"]
    grid = place(whole)
    stretched = Grid(grid.crs, grid.transform @ Affine.scale(1, 1.012), *grid.shape)
    path = write(tmp_path / "reference.tif", whole[None], stretched)
    with pytest.raises(UnreliableShift, match="do not agree"):
        measure_shift(dataset(whole), path, CoregistrationParameters(window_px=128))


def test_the_band_of_the_reference(flanders, tmp_path):
    """By its description, or by its number; never by a guess."""
    whole = flanders["surface"]
    bands = np.stack([np.random.default_rng(0).normal(size=whole.shape).astype(np.float32), whole])
    scene = dataset(whole[2:, 1:])
    path = write(tmp_path / "a.tif", bands, place(whole), ("nir", "B04"))
    assert measure_shift(scene, path).columns == pytest.approx(1, abs=0.1)
    bare = write(tmp_path / "b.tif", bands, place(whole))
    with pytest.raises(CoregistrationError, match=r"2 bands \(-, -\).*reference_band"):
        measure_shift(scene, bare)
    assert measure_shift(scene, bare, CoregistrationParameters(reference_band=2)).rows == pytest.approx(2, abs=0.1)
    with pytest.raises(CoregistrationError, match="no band 3"):
        measure_shift(scene, bare, CoregistrationParameters(reference_band=3))
    with pytest.raises(CoregistrationError, match="expected the band swir16 to compare, it has red"):
        measure_shift(scene, path, CoregistrationParameters(band="swir16"))


def test_what_is_no_reference_is_named(flanders, tmp_path):
    (tmp_path / "broken.tif").write_bytes(b"II*\0")
    scene = dataset(flanders["surface"])
    for name in ("broken.tif", "absent.tif"):
        with pytest.raises(CoregistrationError, match=name):
            measure_shift(scene, str(tmp_path / name))
    with pytest.raises(CoregistrationError, match=r"at least 32 x 32 pixels.*\(20, 300\)"):
        measure_shift(
            dataset(flanders["surface"][:20, :300]),
            write(tmp_path / "good.tif", flanders["surface"][None], place(flanders["surface"])),
        )
