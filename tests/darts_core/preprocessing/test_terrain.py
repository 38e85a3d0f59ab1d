"""Slope and relative elevation against golden arrays, planes and a plain double loop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darts_core.preprocessing.terrain import disk, relative_elevation, slope


@pytest.fixture(scope="module")
def terrain(golden: Path) -> dict[str, np.ndarray]:
    return dict(np.load(golden / "darts" / "terrain.npz"))


def test_slope_is_the_golden_one(terrain: dict[str, np.ndarray]) -> None:
    np.testing.assert_allclose(slope(terrain["in_dem"], (3, 3)), terrain["out_slope_deg"], rtol=1e-6)


def test_relative_elevation_is_the_golden_one_where_that_has_its_whole_disk(terrain: dict[str, np.ndarray]) -> None:
    expected = terrain["out_tpi_r30"]
    inside = ~np.isnan(expected)
    assert inside.sum() == 76 * 76
    result = relative_elevation(terrain["in_dem"], (3, 3), 30)
    assert not np.isnan(result).any()
    # float32 sums in the golden array leave 1e-5 m, of elevations around 120 m
    np.testing.assert_allclose(result[inside], expected[inside], rtol=1e-6, atol=2e-5)


def test_one_missing_cell_stays_local(terrain: dict[str, np.ndarray]) -> None:
    whole = relative_elevation(terrain["in_dem"], (3, 3), 30)
    holed = relative_elevation(terrain["in_dem_one_nan"], (3, 3), 30)
    assert np.argwhere(np.isnan(holed)).tolist() == [[40, 40]]
    y, x = np.mgrid[:96, :96]
    touched = (y - 40) ** 2 + (x - 40) ** 2 <= 100
    np.testing.assert_array_equal(holed[~touched], whole[~touched])
    assert (holed[touched] != whole[touched]).all()
    # a mean over some 300 cells moves little when one of them is missing
    np.testing.assert_allclose(holed[40, 41], whole[40, 41], atol=0.1)
    steep = slope(terrain["in_dem_one_nan"], (3, 3))
    assert np.argwhere(np.isnan(steep[1:-1, 1:-1])).tolist() == [[y, x] for y in (38, 39, 40) for x in (38, 39, 40)]


@given(
    dip=st.floats(-2, 2),
    rise=st.floats(-2, 2),
    pixel=st.tuples(st.floats(1, 50), st.floats(1, 50)),
)
def test_the_slope_of_a_plane_is_that_of_its_gradient(dip: float, rise: float, pixel: tuple[float, float]) -> None:
    y, x = np.mgrid[:6, :7]
    plane = dip * y * pixel[0] + rise * x * pixel[1]
    steep = slope(plane, pixel)
    expected = np.degrees(np.arctan(np.hypot(dip, rise)))
    np.testing.assert_allclose(steep[1:-1, 1:-1], expected, rtol=1e-5, atol=1e-5)
    assert np.isnan(steep[[0, -1]]).all()
    assert np.isnan(steep[:, [0, -1]]).all()


def test_a_strip_too_narrow_for_neighbours_has_no_slope() -> None:
    assert np.isnan(slope(np.zeros((2, 9)), (1, 1))).all()


@given(
    seed=st.integers(0, 10_000),
    radius=st.floats(0.5, 5),
    pixel=st.tuples(st.floats(0.5, 2), st.floats(0.5, 2)),
    gaps=st.floats(0, 0.9),
)
def test_relative_elevation_is_that_of_the_definition(
    seed: int, radius: float, pixel: tuple[float, float], gaps: float
) -> None:
    generator = np.random.default_rng(seed)
    dem = generator.uniform(-100, 3000, (9, 11)).astype("float32")
    dem[generator.random(dem.shape) < gaps] = np.nan
    expected = np.full(dem.shape, np.nan)
    ys, xs = np.mgrid[:9, :11]
    for y, x in np.argwhere(~np.isnan(dem)):
        near = ((ys - y) * pixel[0]) ** 2 + ((xs - x) * pixel[1]) ** 2 <= radius**2 * (1 + 1e-9)
        expected[y, x] = dem[y, x] - np.nanmean(dem[near].astype(float))
    np.testing.assert_allclose(relative_elevation(dem, pixel, radius), expected, rtol=1e-6, atol=1e-4)


@given(cut=st.integers(12, 48), seed=st.integers(0, 100))
def test_blocks_with_their_halo_give_the_same_bits(cut: int, seed: int) -> None:
    dem = np.random.default_rng(seed).normal(800, 60, (60, 40)).astype("float32")
    whole = relative_elevation(dem, (10, 10), 100)
    upper = relative_elevation(dem[: cut + 10], (10, 10), 100)[:cut]
    lower = relative_elevation(dem[cut - 10 :], (10, 10), 100)[10:]
    np.testing.assert_array_equal(np.concatenate([upper, lower]), whole)


def test_elevation_above_a_constant_is_nothing() -> None:
    np.testing.assert_array_equal(relative_elevation(np.full((8, 8), 431.25), (2, 2), 5), 0)
    assert np.isnan(relative_elevation(np.full((8, 8), np.nan), (2, 2), 5)).all()


def test_the_disk_holds_the_centres_within_the_radius() -> None:
    np.testing.assert_array_equal(disk((1, 1), 1), [[0, 1, 0], [1, 1, 1], [0, 1, 0]])
    assert disk((10, 10), 100).sum() == 317
    assert disk((10, 5), 10).shape == (3, 5)
