import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darts_core.inference.mosaic import MosaicError, mosaic
from darts_core.inference.predict import predict
from darts_core.inference.source import FilledSource, ReadAhead, fill_nodata, occupied
from darts_core.windows import Ramp, Window, plan


class ArraySource:
    """A scene in memory; counts how many pixels were read."""

    bands = ("a", "b")

    def __init__(self, height, width, invalid=0.0):
        rng = np.random.default_rng(height * 100 + width)
        self.values = rng.random((2, height, width), np.float32)
        self.mask = rng.random((height, width)) >= invalid
        self.shape = height, width
        self.pixels = 0

    def read(self, window):
        self.pixels += window.height * window.width
        return self.values[:, window.rows, window.cols]

    def valid(self, window):
        return self.mask[window.rows, window.cols]


def assembled(blocks):
    blocks = list(blocks)
    assert [block.row for block in blocks] == np.cumsum([0, *(b.data.shape[1] for b in blocks)])[:-1].tolist()
    return np.concatenate([block.data for block in blocks], axis=1)


@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.tuples(st.integers(9, 33), st.integers(9, 33)),
    st.integers(0, 8),
    st.sampled_from([0, 0.5, 0.99]),
    st.sampled_from(Ramp),
    st.integers(1, 3),
)
def test_an_identity_model_gives_the_scene_back(height, width, window, overlap, invalid, ramp, factor):
    source = ArraySource(height, width, invalid)
    tiling = plan(height, width, window=window, overlap=overlap, ramp=ramp, factor=factor)

    def fine(values):
        return values.repeat(factor, -2).repeat(factor, -1)

    windows = ((number, fine(source.read(tiling[number]))) for number in occupied(source, tiling))
    image = assembled(mosaic(windows, tiling, 2, valid=source.valid))
    expected = fine(np.where(source.mask, source.values, np.nan))
    np.testing.assert_allclose(image, expected, atol=1e-5)


def test_a_pixel_under_a_window_that_did_not_come_is_nodata():
    source = ArraySource(20, 20)
    tiling = plan(20, 20, window=(8, 8), overlap=2)
    windows = ((number, source.read(tiling[number])) for number in range(len(tiling)) if number != 4)
    image = assembled(mosaic(windows, tiling, 2))
    missing = np.zeros((20, 20), bool)
    missing[tiling[4].rows, tiling[4].cols] = True
    assert (np.isnan(image) == missing).all()


def test_rows_leave_before_later_windows_are_asked_for():
    tiling = plan(64, 8, window=(8, 8), overlap=2)
    asked = []

    def windows():
        for number in range(len(tiling)):
            asked.append(number)
            yield number, np.ones((1, 8, 8), np.float32)

    next(mosaic(windows(), tiling, 1))
    assert asked == [0, 1]


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        ([(1, (1, 8, 8)), (0, (1, 8, 8))], "0 came after 1"),
        ([(9, (1, 8, 8))], "below 4; 9 came"),
        ([(0, (1, 7, 8))], r"should be of the shape \(1, 8, 8\)"),
    ],
)
def test_windows_that_do_not_fit_are_refused(windows, message):
    tiling = plan(14, 14, window=(8, 8), overlap=2)
    with pytest.raises(MosaicError, match=message):
        list(mosaic(((number, np.ones(shape, np.float32)) for number, shape in windows), tiling, 1))


def test_empty_windows_are_known_before_they_are_read():
    source = ArraySource(20, 20)
    source.mask[:] = False
    source.mask[19, 0] = True
    tiling = plan(20, 20, window=(8, 8), overlap=2)
    assert occupied(source, tiling) == [6]


@given(st.integers(8, 40), st.integers(8, 200), st.integers(0, 4), st.integers(1, 40_000))
def test_reading_ahead_reads_the_same_and_each_pixel_of_a_window_row_about_once(height, width, overlap, budget):
    source, plain = ArraySource(height, width), ArraySource(height, width)
    tiling = plan(height, width, window=(8, 8), overlap=overlap)
    ahead = ReadAhead(source, budget)
    for window in tiling:
        assert (ahead.read(window) == plain.read(window)).all()
    if budget >= 4 * 2 * 8 * width:
        assert source.pixels == 8 * width * len(tiling.row_offsets)


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


def test_windows_that_a_model_cannot_take_are_made_up_by_reflection():
    source = ArraySource(5, 40)
    tiling = plan(5, 40, window=(32, 32), overlap=8)
    seen = []

    def model(values):
        seen.append(tuple(values.shape[-2:]))
        return values

    predicted = dict(predict(model, source, tiling, multiple=32))
    assert set(seen) == {(32, 32)}
    assert (predicted[0] == source.read(tiling[0])).all()


def test_progress_counts_windows():
    source, told = ArraySource(20, 20), []
    tiling = plan(20, 20, window=(8, 8), overlap=2)
    list(predict(lambda x: x, source, tiling, batch_size=4, progress=lambda *counts: told.append(counts)))
    assert told == [(4, 9), (8, 9), (9, 9)]
