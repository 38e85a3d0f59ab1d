"""Noise is a function of place; a grid knows where its pixels lie."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darts_core.synthetic.grid import Grid, SyntheticError
from darts_core.synthetic.noise import fractal_noise, smoothstep, value_noise

coordinates = st.floats(-1e6, 1e7, allow_nan=False)


@given(coordinates, coordinates, st.integers(0, 2**31))
def test_noise_depends_on_the_place_alone(x: float, y: float, seed: int) -> None:
    alone = value_noise(np.array([x]), np.array([y]), 100, seed)
    among = value_noise(np.array([x - 500, x, 3.0]), np.array([y, y, 4.0]), 100, seed)
    assert alone[0] == among[1]
    assert -1 <= alone[0] <= 1


def test_noise_is_continuous_across_lattice_lines() -> None:
    x = np.linspace(-250, 250, 20_001)
    steps = np.abs(np.diff(fractal_noise(x, np.full_like(x, 33.0), 100, 4, 9)))
    # 0.025 m apart; the quintic's slope of 1.875 over a height of 2, per octave wavelength / 2^k and amplitude / 2^k
    assert steps.max() < 0.025 * 2 * 1.875 * 2 * 4 / (100 * 1.875) * 1.5


def test_seeds_give_unrelated_noise() -> None:
    x, y = Grid.of((0, 0, 20_000, 20_000), 100).centers()
    fields = [value_noise(x, y, 100, seed).ravel() for seed in range(4)]
    correlation = np.corrcoef(fields)
    assert np.abs(correlation - np.eye(4)).max() < 0.03
    assert all(abs(field.mean()) < 0.02 for field in fields)


def test_smoothstep_runs_either_way() -> None:
    values = np.array([-1.0, 0.0, 0.5, 1.0, 2.0])
    np.testing.assert_allclose(smoothstep(0, 1, values), [0, 0, 0.5, 1, 1])
    np.testing.assert_allclose(smoothstep(1, 0, values), [1, 1, 0.5, 0, 0])


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([3.0, 10.0, 20.0]))
def test_sampling_at_the_centers_gives_the_pixels_back(height: int, width: int, spacing: float) -> None:
    grid = Grid(484_000.0, 7_540_000.0, spacing, height, width)
    assert Grid.of(grid.bounds, spacing) == grid
    values = np.random.default_rng(height).normal(size=grid.shape)
    np.testing.assert_allclose(grid.sample(values, *grid.centers()), values, atol=1e-6)


@pytest.mark.parametrize("bounds", [(0, 0, 15, 20), (0, 0, 20, 0), (20, 0, 0, 20)])
def test_bounds_that_are_no_whole_pixels_are_refused(bounds: tuple[float, float, float, float]) -> None:
    with pytest.raises(SyntheticError, match="whole pixels of 10 m"):
        Grid.of(bounds, 10)
