from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darts_core.dataflow import DataflowError
from darts_core.inference.feed import Feed, pieces
from darts_core.windows import Window, plan


@dataclass
class Numbered:
    """A scene whose pixels are their own numbers; remembers what was read."""

    shape: tuple[int, int]
    bands: tuple[str, ...] = ("a", "b")
    broken: Window | None = None
    asked: list[Window] = field(default_factory=list)

    def read(self, window: Window) -> np.ndarray:
        self.asked.append(window)
        if self.broken is not None and window.contains(self.broken):
            raise OSError("the disk is gone")
        whole = np.arange(2 * self.shape[0] * self.shape[1], dtype=np.float32).reshape(2, *self.shape)
        return whole[:, window.rows, window.cols]

    def valid(self, window: Window) -> np.ndarray:
        return np.ones((window.height, window.width), bool)


@given(
    st.integers(5, 60), st.integers(5, 60), st.integers(1, 7), st.integers(0, 20_000), st.randoms(use_true_random=False)
)
def test_pieces_hold_their_windows_in_order_and_keep_to_the_budget(height, width, size, budget, random):
    tiling = plan(height, width, window=(5, 7), overlap=2)
    numbers = sorted(random.sample(range(len(tiling)), random.randint(1, len(tiling))))
    made = list(pieces(tiling, numbers, 2, budget))
    assert [number for piece in made for number in piece.numbers] == numbers
    for piece in made:
        assert all(piece.area.contains(tiling[number]) for number in piece.numbers)
        assert len(piece.numbers) == 1 or 8 * piece.area.height * piece.area.width <= budget


def test_windows_come_in_order_and_batches_reach_over_pieces():
    scene, tiling = Numbered((40, 50)), plan(40, 50, window=(8, 8), overlap=2)
    numbers = [0, 1, 2, 9, 10, 5, 30]
    batches = list(Feed(scene, tiling, numbers, 3))
    assert [batch.numbers for batch in batches] == [[0, 1, 2], [9, 10, 5], [30]]
    for batch in batches:
        for number, values in zip(batch.numbers, batch.windows, strict=True):
            np.testing.assert_array_equal(values, Numbered((40, 50)).read(tiling[number]))


def test_a_scene_is_read_once_where_it_fits():
    scene, tiling = Numbered((40, 50)), plan(40, 50, window=(8, 8), overlap=2)
    list(Feed(scene, tiling, range(len(tiling)), 4))
    assert scene.asked == [Window(0, 0, 40, 50)]


def test_it_tells_how_long_the_reading_took():
    told = []
    tiling = plan(40, 50, window=(8, 8), overlap=2)
    list(Feed(Numbered((40, 50)), tiling, range(len(tiling)), 4, told.append))
    assert [stage.items_out for stage in told[0] if "_read" in stage.name] == [1]


def test_a_window_that_cannot_be_read_is_an_error_that_says_why():
    tiling = plan(40, 50, window=(8, 8), overlap=2)
    with pytest.raises(DataflowError, match="the disk is gone"):
        list(Feed(Numbered((40, 50), broken=tiling[3]), tiling, range(len(tiling)), 4))
