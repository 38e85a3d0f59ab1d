"""What windows agree on, and what is compared in them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darts_core.coregistration.matching import Match, agreement, match, structure

PLACES = st.floats(-10, 10)


@given(
    st.tuples(PLACES, PLACES),
    st.lists(st.tuples(PLACES, PLACES), max_size=4),
    st.integers(5, 12),
    st.randoms(use_true_random=False),
)
def test_a_majority_is_not_moved_by_the_others(true, others, count, random):
    """Whatever the order, and wherever the others lie, the result is within what the majority scatters."""
    matches = [Match(true[0] + random.uniform(-0.05, 0.05), true[1], 80) for _ in range(count)]
    matches += [Match(*other, 40) for other in others]
    random.shuffle(matches)
    agreed = agreement(matches)
    assert agreed is not None
    found, windows = agreed
    assert windows >= count
    near = sum(np.hypot(other[0] - true[0], other[1] - true[1]) <= 1.2 for other in others)
    assert windows <= count + near
    assert abs(found.rows - true[0]) <= (0.05 if not near else 1)
    assert abs(found.columns - true[1]) <= (1e-9 if not near else 1)


def test_no_majority_is_no_agreement():
    assert agreement([]) is None
    assert agreement([Match(0, 0, 90), Match(5, 5, 90)]) is None
    assert agreement([Match(row, 0, 90) for row in (0, 3, 6, 9)]) is None
    assert agreement([Match(1, 2, 90)]) == (Match(1, 2, 90), 1)


def test_a_window_against_itself_does_not_move():
    values = np.random.default_rng(0).normal(size=(90, 90)).astype(np.float32)
    assert match(values, values[5:-5, 5:-5], iterations=5, limit=10, detail=1) == Match(
        0, 0, pytest.approx(100, abs=0.1)
    )


def test_half_a_window_without_data_is_no_window():
    values = np.random.default_rng(0).normal(size=(90, 90)).astype(np.float32)
    reference = values[5:-5, 5:-5].copy()
    reference[:45] = np.nan
    assert match(values, reference, iterations=5, limit=10, detail=1) is None


def test_structure_is_blind_to_light_and_contrast():
    """A slope of brightness is no structure, and a contrast is one factor."""
    values = np.random.default_rng(0).normal(size=(60, 60)).astype(np.float32)
    inner = np.s_[10:-10, 10:-10]
    np.testing.assert_allclose(structure(3 * values + 700, 1), 3 * structure(values, 1), rtol=1e-3, atol=1e-3)
    slope = np.linspace(0, 1000, 60, dtype=np.float32) * np.ones((60, 1), np.float32)
    assert np.abs(structure(slope, 1)[inner]).max() < 0.01
    assert not structure(np.full((60, 60), 5, np.float32), 1).any()
