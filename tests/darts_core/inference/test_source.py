import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from darts_core.inference.source import FilledSource, fill_nodata, occupied
from darts_core.windows import Window, plan


class ArraySource:
    """A scene in memory."""

    bands = ("a", "b")

    def __init__(self, height, width, invalid=0.0):
        rng = np.random.default_rng(height * 100 + width)
        self.values = rng.random((2, height, width), np.float32)
        self.mask = rng.random((height, width)) >= invalid
        self.shape = height, width

    def read(self, window):
        return self.values[:, window.rows, window.cols]

    def valid(self, window):
        return self.mask[window.rows, window.cols]


def test_empty_windows_are_known_before_they_are_read():
    source = ArraySource(20, 20)
    source.mask[:] = False
    source.mask[19, 0] = True
    tiling = plan(20, 20, window=(8, 8), overlap=2)
    assert occupied(source, tiling) == [6]


def test_nodata_is_filled_from_valid_neighbours_as_far_as_the_model_looks():
    values = np.full((1, 9, 9), np.nan, np.float32)
    values[0, 4, 4] = 0.7
    filled = fill_nodata(values, 2)
    expected = np.zeros((1, 9, 9), np.float32)
    expected[0, 2:7, 2:7] = 0.7
    np.testing.assert_allclose(filled, expected, atol=1e-6)
    assert np.isnan(values).sum() == 80


@given(st.integers(0, 3), st.data())
def test_the_fill_is_the_same_in_every_window(reach, data):
    source = ArraySource(30, 30, 0.8)
    source.values[:, ~source.mask] = np.nan
    whole = fill_nodata(source.values, reach)
    row, col = data.draw(st.integers(0, 25)), data.draw(st.integers(0, 25))
    window = Window(row, col, data.draw(st.integers(1, 30 - row)), data.draw(st.integers(1, 30 - col)))
    np.testing.assert_allclose(FilledSource(source, reach).read(window), whole[:, window.rows, window.cols], atol=1e-6)
