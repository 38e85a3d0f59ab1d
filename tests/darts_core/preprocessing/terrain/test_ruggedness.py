"""Ruggedness against golden arrays and plain loops over windows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darts_core.preprocessing.terrain import dissection_index, ruggedness_index, slope, vector_ruggedness

PIXEL = (3.0, 2.0)
FEATURES: dict[str, Callable[[np.ndarray, tuple[int, int]], np.ndarray]] = {
    "ruggedness": ruggedness_index,
    "vector": lambda dem, reach: vector_ruggedness(dem, PIXEL, reach),
    "dissection": dissection_index,
}


def test_ruggedness_index_is_the_golden_one(terrain: dict[str, np.ndarray]) -> None:
    result = ruggedness_index(terrain["in_dem"], (2, 2)).astype(float)
    expected = terrain["out_tri_5px"].astype(float)
    inside = ~np.isnan(expected)
    assert inside.sum() == 92 * 92
    # the golden array takes differences of float32 sums of squares: each of the three is off by some of its last bits
    lost = 4 * np.spacing(np.float32(25 * 134.0**2))
    np.testing.assert_allclose(result[inside] ** 2, expected[inside] ** 2, rtol=1e-6, atol=lost)
    assert lost < 0.15


def test_vector_ruggedness_is_the_golden_one(terrain: dict[str, np.ndarray]) -> None:
    result, expected = vector_ruggedness(terrain["in_dem"], (3, 3), (2, 2)), terrain["out_vrm_5px"]
    inside = ~np.isnan(expected)
    assert inside.sum() == 90 * 90
    # the golden array is 1 less a float32 beside 1, which is known to 6e-8, twice
    np.testing.assert_allclose(result[inside], expected[inside], rtol=1e-6, atol=1.2e-7)


def test_dissection_index_is_the_golden_one(terrain: dict[str, np.ndarray]) -> None:
    result, expected = dissection_index(terrain["in_dem"], (2, 2)), terrain["out_di_5px"]
    inside = ~np.isnan(expected)
    assert inside.sum() == 92 * 92
    np.testing.assert_allclose(result[inside], expected[inside], rtol=1e-6)


def windows(dem: np.ndarray, reach: tuple[int, int]) -> np.ndarray:
    """(y, x, window y, window x), NaN beyond the border."""
    margin = tuple((cells, cells) for cells in reach)
    wide = np.pad(dem.astype(float), margin, constant_values=np.nan)
    return np.lib.stride_tricks.sliding_window_view(wide, tuple(2 * cells + 1 for cells in reach))


def expected_ruggedness(dem: np.ndarray, reach: tuple[int, int]) -> np.ndarray:
    around = windows(dem, reach)
    squares = (around - dem[..., None, None].astype(float)) ** 2
    return np.sqrt(np.nanmean(squares, axis=(2, 3)) * around.shape[2] * around.shape[3])


def expected_dissection(dem: np.ndarray, reach: tuple[int, int]) -> np.ndarray:
    around = windows(dem, reach)
    highest, lowest = np.nanmax(around, axis=(2, 3)), np.nanmin(around, axis=(2, 3))
    return np.where(np.isnan(dem) | (highest <= 0), np.nan, (highest - lowest) / highest)


def expected_vector(dem: np.ndarray, reach: tuple[int, int]) -> np.ndarray:
    steep = slope(dem, PIXEL)
    p = np.pad(dem.astype(float), 1, constant_values=np.nan)
    ring = {(y, x): p[1 + y : p.shape[0] - 1 + y, 1 + x : p.shape[1] - 1 + x] for y in (-1, 0, 1) for x in (-1, 0, 1)}
    gx = sum(w * (ring[y, 1] - ring[y, -1]) for y, w in ((-1, 1), (0, 2), (1, 1))) / (8 * PIXEL[1])
    gy = sum(w * (ring[1, x] - ring[-1, x]) for x, w in ((-1, 1), (0, 2), (1, 1))) / (8 * PIXEL[0])
    normals = np.stack([-gx, -gy, np.ones_like(gx)]) / np.sqrt(1 + gx**2 + gy**2)
    normals[:, np.isnan(steep)] = np.nan
    mean = np.array([np.nanmean(windows(one, reach), axis=(2, 3)) for one in normals])
    return np.where(np.isnan(steep), np.nan, 1 - np.linalg.norm(mean, axis=0))


ORACLES = {"ruggedness": expected_ruggedness, "vector": expected_vector, "dissection": expected_dissection}
# differences of elevations that are whole steps of 2**-15 m and finer, each off by a step, over up to 9 x 9 cells
NEAR = {"ruggedness": 9 * 2.0**-15, "vector": 2e-6, "dissection": 2e-6}


@pytest.mark.filterwarnings("ignore:.*(empty slice|All-NaN).*:RuntimeWarning")
@pytest.mark.parametrize("name", FEATURES)
@given(
    seed=st.integers(0, 10_000),
    reach=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    gaps=st.sampled_from([0, 0.02, 0.3]),
    mean=st.sampled_from([-60, 0, 2500]),
)
def test_features_are_those_of_their_definition(
    name: str, seed: int, reach: tuple[int, int], gaps: float, mean: float
) -> None:
    generator = np.random.default_rng(seed)
    dem = generator.normal(mean, 20, (9, 11)).astype("float32")
    dem[generator.random(dem.shape) < gaps] = np.nan
    np.testing.assert_allclose(FEATURES[name](dem, reach), ORACLES[name](dem, reach), rtol=2e-5, atol=NEAR[name])


@pytest.mark.parametrize("name", FEATURES)
@given(cut=st.integers(6, 34), seed=st.integers(0, 100), gaps=st.sampled_from([0, 0.02]))
def test_blocks_with_their_halo_give_the_same_bits(name: str, cut: int, seed: int, gaps: float) -> None:
    generator = np.random.default_rng(seed)
    dem = generator.normal(800, 60, (40, 30)).astype("float32")
    dem[generator.random(dem.shape) < gaps] = np.nan
    feature, halo = FEATURES[name], 5
    whole = feature(dem, (4, 3))
    upper, lower = feature(dem[: cut + halo], (4, 3))[:cut], feature(dem[cut - halo :], (4, 3))[halo:]
    np.testing.assert_array_equal(np.concatenate([upper, lower]), whole)


def test_a_cliff_of_the_highest_span_does_not_overflow() -> None:
    dem = np.where(np.indices((400, 400)).sum(axis=0) % 2, 3000.0, -100.0).astype("float32")
    exact = 3100 * np.sqrt((401**2 - 1) / 2)
    assert ruggedness_index(dem, (200, 200))[200, 200] == pytest.approx(exact, rel=1e-2)


@pytest.mark.parametrize("name", FEATURES)
def test_level_ground_is_not_rugged(name: str) -> None:
    assert np.nanmax(FEATURES[name](np.full((9, 9), 431.25), (2, 2))) == 0
    assert np.isnan(FEATURES[name](np.full((9, 9), np.nan), (2, 2))).all()


def test_a_plane_is_not_vector_rugged_however_steep() -> None:
    y, x = np.mgrid[:9, :11]
    np.testing.assert_allclose(vector_ruggedness(3.0 * x - 2 * y, PIXEL, (2, 2))[1:-1, 1:-1], 0, atol=1e-9)
