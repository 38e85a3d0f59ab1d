"""Grids: there and back again is the same, and nowhere is an error."""

import numpy as np
import pytest
import rioxarray  # noqa: F401
import xarray as xr
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from darts_core.grids import Grid, GridError, pixelwise, refine

UTM = CRS.from_epsg(32608)
GRIDS = st.builds(
    lambda x, y, size, height, width: Grid(UTM, Affine(size, 0, x, 0, -size, y), height, width),
    st.integers(1, 900_000),
    st.integers(1, 9_000_000),
    st.sampled_from([0.75, 2.5, 3.0, 10.0, 60.0]),
    st.integers(2, 40),
    st.integers(2, 40),
)


def on(grid: Grid, values: np.ndarray | None = None) -> xr.DataArray:
    values = np.zeros(grid.shape) if values is None else values
    return xr.DataArray(values, grid.coordinates(), ("y", "x"))


@given(GRIDS)
def test_coordinates_hold_the_grid(grid: Grid) -> None:
    found = Grid.of(on(grid))
    assert found == grid
    assert found.shape == grid.shape
    # what other tools read from the coordinates alone is the same place
    bare = on(grid).drop_vars("spatial_ref").rio.write_crs(UTM)
    assert Grid.of(bare).transform.almost_equals(grid.transform, precision=1e-6 * 1e3)


@given(GRIDS, st.integers(0, 9), st.integers(0, 9))
def test_growing_moves_the_corner_and_no_pixel(grid: Grid, rows: int, columns: int) -> None:
    grown = grid.grown(rows, columns)
    assert grown.shape == (grid.height + 2 * rows, grid.width + 2 * columns)
    inner = on(grown)[rows : rows + grid.height, columns : columns + grid.width]
    np.testing.assert_allclose(inner["x"], on(grid)["x"], atol=1e-6)
    np.testing.assert_allclose(inner["y"], on(grid)["y"], atol=1e-6)


def test_metres_follow_the_units_of_the_crs() -> None:
    feet = Grid(CRS.from_epsg(2227), Affine(10, 0, 0, 0, -20, 0), 4, 4)
    assert feet.metres() == pytest.approx((20 * 1200 / 3937, 10 * 1200 / 3937))
    turned = Grid(UTM, Affine.rotation(30) @ Affine.scale(3, -5), 4, 4)
    assert turned.metres() == pytest.approx((5, 3))
    with pytest.raises(GridError, match="received EPSG:4326"):
        Grid(CRS.from_epsg(4326), Affine.scale(1e-4), 4, 4).metres()


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (xr.Dataset({"a": (("y", "x"), np.zeros((3, 3)))}), "has no CRS"),
        (xr.Dataset({"a": (("y", "x"), np.zeros((3, 3)))}).rio.write_crs(UTM), "expected coordinates y and x"),
        (xr.Dataset({"a": (("band", "x"), np.zeros((3, 3)))}), "expected the axes y and x"),
    ],
)
def test_nowhere_is_an_error(dataset: xr.Dataset, message: str) -> None:
    with pytest.raises(GridError, match=message):
        Grid.of(dataset)


@given(GRIDS, st.integers(1, 5))
def test_refined_pixels_are_repeated(grid: Grid, factor: int) -> None:
    values = np.arange(grid.height * grid.width, dtype="uint16").reshape(grid.shape)
    fine = Grid(UTM, grid.transform @ Affine.scale(1 / factor), grid.height * factor, grid.width * factor)
    refined = refine(on(grid, values), on(fine))
    assert refined.dtype == values.dtype
    assert Grid.of(refined) == Grid.of(on(fine))
    np.testing.assert_array_equal(refined.coarsen(y=factor, x=factor).min(), values)
    np.testing.assert_array_equal(refined.coarsen(y=factor, x=factor).max(), values)
    lazy = refine(on(grid, values).chunk({"y": 3}), on(fine))
    assert lazy.chunks
    np.testing.assert_array_equal(lazy, refined)


@pytest.mark.parametrize(
    "other",
    [
        Grid(UTM, Affine(5, 0, 3, 0, -5, 0), 8, 8),
        Grid(UTM, Affine(5, 0, 0, 0, -5, 0), 8, 9),
        Grid(UTM, Affine(20, 0, 0, 0, -20, 0), 2, 2),
        Grid(CRS.from_epsg(32609), Affine(5, 0, 0, 0, -5, 0), 8, 8),
    ],
)
def test_grids_that_do_not_divide_are_refused(other: Grid) -> None:
    with pytest.raises(GridError, match="whole ones"):
        refine(on(Grid(UTM, Affine(10, 0, 0, 0, -10, 0), 4, 4)), on(other))


def test_pixelwise_keeps_the_crs_and_drops_the_attributes() -> None:
    array = on(Grid(UTM, Affine(10, 0, 0, 0, -10, 40), 4, 4)).assign_attrs(scale_factor=3)
    doubled = pixelwise(lambda values: values * 2 + 1, array, dtype="float64")
    assert doubled.attrs == {}
    assert Grid.of(doubled) == Grid.of(array)
    assert (doubled == 1).all()
