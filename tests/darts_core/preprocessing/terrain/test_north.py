"""Where north is: against the geodesic that runs there."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod, Transformer
from rasterio.crs import CRS

from darts_core.grids import Grid, GridError
from darts_core.preprocessing.terrain import aspect, convergence

ZONES = [*range(32601, 32661), *range(32701, 32761)]


def grid_at(epsg: int, x: float, y: float, pixel: float = 10.0, shape: tuple[int, int] = (150, 170)) -> Grid:
    return Grid(CRS.from_epsg(epsg), Affine(pixel, 0, x, 0, -pixel, y), *shape)


def to_north(epsg: int, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The step of 10 m to true north on the map, by the geodesic."""
    there, back = Transformer.from_crs(epsg, 4326, always_xy=True), Transformer.from_crs(4326, epsg, always_xy=True)
    longitude, latitude = there.transform(x, y)
    north = Geod(ellps="WGS84").fwd(longitude, latitude, np.zeros_like(x), np.full_like(x, 10.0))
    moved = back.transform(north[0], north[1])
    return moved[0] - x, moved[1] - y


def centres(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    a, _, left, _, e, top = tuple(grid.transform)[:6]
    return np.meshgrid(left + (np.arange(grid.width) + 0.5) * a, top + (np.arange(grid.height) + 0.5) * e)


def turned(left: np.ndarray, right: np.ndarray | float) -> np.ndarray:
    return np.abs((left - right + 180) % 360 - 180)


polar = st.tuples(
    st.just(3413),
    st.floats(20_000, 4_000_000).flatmap(lambda far: st.sampled_from([-far, far])),
    st.floats(-4_000_000, 4_000_000),
)
utm = st.tuples(st.sampled_from(ZONES), st.floats(166_000, 833_000), st.floats(1_000_000, 9_000_000))


@given(place=st.one_of(utm, polar))
def test_the_grids_north_is_as_far_from_norths_as_north_from_it(place: tuple[int, float, float]) -> None:
    grid = grid_at(*place)
    x, y = centres(grid)
    east, north = to_north(place[0], x[::37, ::41], y[::37, ::41])
    result = convergence(grid, slice(0, grid.height), slice(0, grid.width))
    assert turned(result[::37, ::41], -np.degrees(np.arctan2(east, north))).max() < 1e-3


@given(place=st.one_of(utm, polar), bearing=st.sampled_from([0, 90, 180, 270]))
def test_a_plane_that_faces_true_north_east_south_or_west_says_so(
    place: tuple[int, float, float], bearing: int
) -> None:
    grid = grid_at(*place, shape=(5, 5))
    x, y = centres(grid)
    east, north = (part[2, 2] for part in to_north(place[0], x, y))
    size, turn = np.hypot(east, north), np.radians(bearing)
    # the map is conformal: what lies `bearing` clockwise from north on the ground does on the map
    east, north = (
        (east * np.cos(turn) + north * np.sin(turn)) / size,
        (north * np.cos(turn) - east * np.sin(turn)) / size,
    )
    falling = -0.3 * (east * (x - x[2, 2]) + north * (y - y[2, 2]))
    faces = aspect(falling, grid.metres(), convergence(grid, slice(0, 5), slice(0, 5)))
    assert turned(faces[2, 2].astype(float), bearing) < 2e-3


@given(top=st.integers(-40, 100), left=st.integers(-40, 100), height=st.integers(1, 60), width=st.integers(1, 60))
def test_blocks_are_parts_of_the_whole_and_may_reach_beyond(top: int, left: int, height: int, width: int) -> None:
    grid = grid_at(3413, -2_000_000, 800_000)
    whole = convergence(grid, slice(-50, 200), slice(-50, 200))
    part = convergence(grid, slice(top, top + height), slice(left, left + width))
    np.testing.assert_array_equal(part, whole[top + 50 :, left + 50 :][:height, :width])


def test_the_direction_is_interpolated_across_the_half_turn() -> None:
    # at 135 degrees east the convergence of EPSG:3413 turns from 180 to -180
    grid = grid_at(3413, -500, 2_000_000)
    x, y = centres(grid)
    east, north = to_north(3413, x, y)
    result = convergence(grid, slice(0, grid.height), slice(0, grid.width))
    assert np.abs(result).min() > 179
    assert (result.max(), result.min()) > (179, -181)
    assert turned(result, -np.degrees(np.arctan2(east, north))).max() < 1e-3


@pytest.mark.parametrize(
    "transform", [Affine(10, 0, 0, 0, 10, 0), Affine(-10, 0, 0, 0, -10, 0), Affine(8, 6, 0, 6, -8, 0)]
)
def test_a_grid_whose_rows_do_not_run_south_is_refused(transform: Affine) -> None:
    with pytest.raises(GridError, match="rows run from north to south"):
        convergence(Grid(CRS.from_epsg(32608), transform, 5, 5), slice(0, 5), slice(0, 5))


def test_degrees_have_no_convergence() -> None:
    with pytest.raises(GridError, match="Expected a projected CRS"):
        convergence(Grid(CRS.from_epsg(4326), Affine(0.1, 0, 0, 0, -0.1, 70), 5, 5), slice(0, 5), slice(0, 5))
