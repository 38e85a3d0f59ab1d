"""Relative elevation against golden arrays and a plain double loop."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from darts_core.preprocessing.terrain import disk, relative_elevation


def test_relative_elevation_is_the_golden_one_where_that_has_its_whole_disk(terrain: dict[str, np.ndarray]) -> None:
    expected = terrain["out_tpi_r30"]
    inside = ~np.isnan(expected)
    assert inside.sum() == 76 * 76
    result = relative_elevation(terrain["in_dem"], (3, 3), 30)
    assert not np.isnan(result).any()
    # float32 sums in the golden array leave 1e-5 m, of elevations around 120 m
    np.testing.assert_allclose(result[inside], expected[inside], rtol=1e-6, atol=2e-5)


def test_a_ring_is_the_golden_one(terrain: dict[str, np.ndarray]) -> None:
    expected = terrain["out_tpi_r60_inner30"]
    inside = ~np.isnan(expected)
    assert inside.sum() == 56 * 56
    result = relative_elevation(terrain["in_dem"], (3, 3), 60, 30)
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


@given(
    seed=st.integers(0, 10_000),
    radius=st.floats(0.5, 5),
    inner=st.sampled_from([0, 0.4, 0.9]),
    pixel=st.tuples(st.floats(0.5, 2), st.floats(0.5, 2)),
    gaps=st.floats(0, 0.9),
)
def test_relative_elevation_is_that_of_the_definition(
    seed: int, radius: float, inner: float, pixel: tuple[float, float], gaps: float
) -> None:
    generator = np.random.default_rng(seed)
    dem = generator.uniform(-100, 3000, (9, 11)).astype("float32")
    dem[generator.random(dem.shape) < gaps] = np.nan
    expected = np.full(dem.shape, np.nan)
    ys, xs = np.mgrid[:9, :11]
    for y, x in np.argwhere(~np.isnan(dem)):
        distance = ((ys - y) * pixel[0]) ** 2 + ((xs - x) * pixel[1]) ** 2
        near = (distance <= radius**2 * (1 + 1e-9)) & ~np.isnan(dem)
        if inner:
            near &= distance > (inner * radius) ** 2 * (1 + 1e-9)
        expected[y, x] = dem[y, x] - dem[near].astype(float).mean() if near.any() else np.nan
    result = relative_elevation(dem, pixel, radius, inner * radius)
    np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-4)


@given(cut=st.integers(12, 48), seed=st.integers(0, 100), gaps=st.sampled_from([0, 0.01, 0.5]))
def test_blocks_with_their_halo_give_the_same_bits(cut: int, seed: int, gaps: float) -> None:
    generator = np.random.default_rng(seed)
    dem = generator.normal(800, 60, (60, 40)).astype("float32")
    dem[generator.random(dem.shape) < gaps] = np.nan
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
