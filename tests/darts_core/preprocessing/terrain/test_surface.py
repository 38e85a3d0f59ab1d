"""Slope, aspect, hillshade and curvature against golden arrays, planes and paraboloids."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darts_core.preprocessing.terrain import aspect, curvature, hillshade, slope

INSIDE = (slice(1, -1), slice(1, -1))
FEATURES = (slope, aspect, hillshade, curvature)


def plane(dip: float, rise: float, pixel: tuple[float, float], shape: tuple[int, int] = (6, 7)) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return dip * y * pixel[0] + rise * x * pixel[1]


def turned(left: np.ndarray, right: np.ndarray | float) -> np.ndarray:
    """Angle between two directions in degrees."""
    return np.abs((left - right + 180) % 360 - 180)


def test_slope_is_the_golden_one(terrain: dict[str, np.ndarray]) -> None:
    np.testing.assert_allclose(slope(terrain["in_dem"], (3, 3)), terrain["out_slope_deg"], rtol=1e-6)


def test_aspect_is_the_golden_one_in_the_frame_of_the_map(terrain: dict[str, np.ndarray]) -> None:
    expected, result = terrain["out_aspect_map_frame"], aspect(terrain["in_dem"], (3, 3))
    np.testing.assert_array_equal(np.isnan(result), np.isnan(expected))
    # float32 degrees near 360 are 3e-5 apart
    assert np.nanmax(turned(result.astype(float), expected)) < 3.1e-5


def test_hillshade_is_the_golden_one_in_the_frame_of_the_map(terrain: dict[str, np.ndarray]) -> None:
    result, expected = hillshade(terrain["in_dem"], (3, 3), 225, 25), terrain["out_hillshade_map_frame_225_25"]
    # the golden array was computed of float32 gradients
    np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1.2e-7)
    assert (result == 0).any()


def test_curvature_is_the_golden_one(terrain: dict[str, np.ndarray]) -> None:
    np.testing.assert_allclose(curvature(terrain["in_dem"], (3, 3)), terrain["out_curvature"], rtol=1e-6)


pixels = st.tuples(st.floats(1, 50), st.floats(1, 50))
gradients = st.floats(-2, 2)


@given(dip=gradients, rise=gradients, pixel=pixels)
def test_the_slope_of_a_plane_is_that_of_its_gradient(dip: float, rise: float, pixel: tuple[float, float]) -> None:
    steep = slope(plane(dip, rise, pixel), pixel)
    np.testing.assert_allclose(steep[INSIDE], np.degrees(np.arctan(np.hypot(dip, rise))), rtol=1e-5, atol=1e-5)
    assert np.isnan(steep[[0, -1]]).all()
    assert np.isnan(steep[:, [0, -1]]).all()


@given(bearing=st.floats(0, 359.99), steepness=st.floats(0.01, 3), turn=st.floats(-180, 180), pixel=pixels)
def test_a_plane_faces_where_it_falls(
    bearing: float, steepness: float, turn: float, pixel: tuple[float, float]
) -> None:
    on_map = np.radians(bearing - turn)
    falling = plane(steepness * np.cos(on_map), -steepness * np.sin(on_map), pixel)
    faces = aspect(falling, pixel, np.full(falling.shape, turn))
    assert turned(faces[INSIDE].astype(float), bearing).max() < 1e-3
    assert (faces[INSIDE] >= 0).all()
    assert (faces[INSIDE] <= 360).all()


@given(
    bearing=st.floats(0, 360), steepness=st.floats(0, 3), sun=st.floats(0, 360), height=st.floats(1, 90), pixel=pixels
)
def test_hillshade_is_the_cosine_between_normal_and_light(
    bearing: float, steepness: float, sun: float, height: float, pixel: tuple[float, float]
) -> None:
    down, towards, level = np.radians(bearing), np.radians(sun), np.cos(np.radians(height))
    falling = plane(steepness * np.cos(down), -steepness * np.sin(down), pixel)
    normal = np.array([steepness * np.sin(down), steepness * np.cos(down), 1])
    light = np.array([level * np.sin(towards), level * np.cos(towards), np.sin(np.radians(height))])
    expected = max(0, normal @ light / np.linalg.norm(normal))
    np.testing.assert_allclose(hillshade(falling, pixel, sun, height)[INSIDE], expected, atol=1e-6)


def test_the_light_turns_with_north() -> None:
    dem = np.random.default_rng(5).normal(0, 10, (12, 9))
    np.testing.assert_allclose(hillshade(dem, (5, 5), 100, 30, 40.0), hillshade(dem, (5, 5), 60, 30), atol=1e-7)


@given(a=gradients, b=gradients, pixel=pixels)
def test_the_curvature_of_a_paraboloid_is_that_of_its_second_derivatives(
    a: float, b: float, pixel: tuple[float, float]
) -> None:
    y, x = np.mgrid[:6, :7]
    bowl = a * (y * pixel[0]) ** 2 + b * (x * pixel[1]) ** 2 + 3 * x
    size = np.abs(bowl).max() / min(pixel) ** 2
    np.testing.assert_allclose(curvature(bowl, pixel)[INSIDE], -200 * (a + b), rtol=1e-5, atol=1e-9 * max(size, 1))


def test_a_flat_cell_faces_nowhere_and_lies_in_the_light() -> None:
    flat = np.full((5, 6), 431.25, "float32")
    assert np.isnan(aspect(flat, (2, 2))).all()
    assert (slope(flat, (2, 2))[INSIDE] == 0).all()
    np.testing.assert_allclose(hillshade(flat, (2, 2), 10, 25)[INSIDE], np.sin(np.radians(25)), rtol=1e-6)
    assert (curvature(flat, (2, 2))[INSIDE] == 0).all()


@pytest.mark.parametrize("feature", FEATURES)
def test_one_missing_cell_touches_its_neighbours_only(feature, terrain: dict[str, np.ndarray]) -> None:  # type: ignore[no-untyped-def]
    whole, holed = feature(terrain["in_dem"], (3, 3)), feature(terrain["in_dem_one_nan"], (3, 3))
    gone = np.argwhere(np.isnan(holed) & ~np.isnan(whole)) - np.argwhere(np.isnan(terrain["in_dem_one_nan"]))
    steps = 1 if feature in (hillshade, curvature) else 2
    near = [[y, x] for y in (-1, 0, 1) for x in (-1, 0, 1) if abs(y) + abs(x) <= steps]
    assert gone.tolist() == near
    np.testing.assert_array_equal(holed[~np.isnan(holed)], whole[~np.isnan(holed)])


@pytest.mark.parametrize("feature", FEATURES)
def test_a_strip_too_narrow_for_neighbours_has_no_surface(feature) -> None:  # type: ignore[no-untyped-def]
    assert np.isnan(feature(np.zeros((2, 9)), (1, 1))).all()
