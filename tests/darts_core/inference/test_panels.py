import pytest
from hypothesis import given
from hypothesis import strategies as st

from darts_core.inference.blocks import TILE
from darts_core.inference.panels import ACCUMULATOR_BYTES, panels, visiting_order
from darts_core.windows import plan


@given(st.integers(1, 60), st.integers(1, 9000), st.integers(1, 200), st.integers(0, 99), st.integers(1, 10**9))
def test_panels_are_whole_tiles_that_cover_the_width(height, width, size, overlap, budget):
    tiling = plan(height, width, window=(size, size), overlap=min(overlap, size - 1), factor=2)
    cut = panels(tiling, 3, budget)
    assert [one.start for one in cut] == [0, *(one.stop for one in cut[:-1])]
    assert cut[-1].stop == 2 * width
    assert all(one.start % TILE == 0 for one in cut)
    assert all(one.nbytes <= budget or one.stop - one.start <= TILE for one in cut)


@pytest.mark.parametrize("factor", [1, 4])
@pytest.mark.parametrize("overlap", [8, 100])
def test_memory_is_flat_in_height_and_width(factor, overlap):
    def nbytes(height, width):
        tiling = plan(height, width, window=(128, 128), overlap=overlap, factor=factor)
        return max(one.nbytes for one in panels(tiling, 4))

    # as high as that the last window of a column overlaps the one before as much
    assert nbytes(4000, 4000) == nbytes(4000 + 43 * 840, 4000)
    assert nbytes(4000, 200_000) <= ACCUMULATOR_BYTES
    assert nbytes(200_000, 40_000) <= ACCUMULATOR_BYTES


def test_panels_part_where_windows_reach_over_the_least():
    # windows begin every 480 pixels: over the end of the 15th tile the 16th one reaches with 31 columns, over that of
    # the 16th tile two windows with 479 together
    tiling = plan(504, 4000, window=(128, 128), overlap=8, factor=4)
    sixteen = panels(plan(504, 2048, window=(128, 128), overlap=8, factor=4), 1)[0].nbytes
    assert [one.stop / TILE for one in panels(tiling, 1, sixteen)] == [15, 30, 16_000 / TILE]


def test_windows_are_visited_panel_by_panel():
    tiling = plan(200, 500, window=(100, 100), overlap=0, factor=4)
    # panels end at 512, 1024, 1536 and 2000; windows begin at 0, 400, 800, 1200 and 1600
    by_tile = [0, 1, 5, 6, 2, 7, 3, 8, 4, 9]
    assert visiting_order(tiling, 1, range(10), budget=1) == by_tile
    assert visiting_order(tiling, 1, [9, 0, 5, 1], budget=1) == [0, 1, 5, 9]
    assert visiting_order(tiling, 1, range(10)) == list(range(10))
