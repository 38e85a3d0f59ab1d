import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from darts_core.inference.blocks import TILE
from darts_core.inference.pyramid import Pyramid, halve, levels

SHAPES = arrays.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=7)


def fours(pixels):
    """The one to four pixels under each pixel of the level above: ((band, row, column), list of values)."""
    bands, rows, cols = pixels.shape
    for at in np.ndindex(bands, -(-rows // 2), -(-cols // 2)):
        band, row, col = at
        yield at, pixels[band, 2 * row : 2 * row + 2, 2 * col : 2 * col + 2].ravel().tolist()


@given(
    st.sampled_from([("uint8", 255), ("uint16", 0), ("int16", -32768), ("int16", None), ("uint32", 7)]).flatmap(
        lambda kind: st.tuples(
            # few values beside the extremes, so that nodata and sums near the end of the dtype are frequent
            arrays.arrays(
                kind[0],
                SHAPES,
                elements=st.sampled_from(
                    [np.iinfo(kind[0]).min, np.iinfo(kind[0]).max, np.iinfo(kind[0]).max - 1, 1, 2, 7]
                ),
            ),
            st.just(kind[1]),
        )
    )
)
def test_integers_are_averaged_over_what_holds_data_and_halves_go_up(case):
    pixels, nodata = case
    halved = halve(pixels, nodata, categorical=False)
    assert halved.dtype == pixels.dtype
    for at, values in fours(pixels):
        held = [value for value in values if value != nodata]
        expected = (2 * sum(held) + len(held)) // (2 * len(held)) if held else nodata
        assert halved[at] == expected


@given(arrays.arrays("float32", SHAPES, elements=st.floats(-1e6, 1e6, width=32) | st.just(np.nan)))
def test_floats_are_averaged_over_what_is_not_nan(pixels):
    halved = halve(pixels, np.nan, categorical=False)
    assert halved.dtype == np.float32
    for at, values in fours(pixels):
        held = [value for value in values if not np.isnan(value)]
        expected = np.float32(sum(held) / len(held)) if held else np.nan
        np.testing.assert_allclose(halved[at], expected, rtol=1e-6, atol=1e-6)


@given(arrays.arrays("uint8", SHAPES, elements=st.integers(0, 3)))
def test_of_classes_the_most_frequent_stays_and_of_equal_ones_the_first(pixels):
    halved = halve(pixels, None, categorical=True)
    for at, values in fours(pixels):
        assert halved[at] == max(values, key=values.count)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1, 1), [(1, 1)]), ((512, 512), [(512, 512)]), ((513, 20), [(513, 20), (257, 10)])],
)
def test_levels_end_where_one_tile_is_all(size, expected):
    assert [(level.height, level.width) for level in levels(*size)] == expected
    assert levels(5000, 5000)[-1].tiles == (1, 1)
    assert levels(5000, 5000)[-2].tiles == (2, 2)


@given(st.integers(1, 1700), st.integers(1, 1700), st.randoms(use_true_random=False))
def test_tiles_of_the_next_level_are_complete_after_their_last_quarter(height, width, random):
    fine, *above = levels(height, width)
    places = list(np.ndindex(fine.tiles))
    random.shuffle(places)
    whole = np.arange(height * width, dtype=np.uint32).reshape(1, height, width)
    pyramid, made = Pyramid((fine, *above)), {}
    for row, col in places:
        tile = whole[:, row * TILE : (row + 1) * TILE, col * TILE : (col + 1) * TILE]
        parent = pyramid.add(0, row, col, tile[:, ::2, ::2])
        if parent is not None:
            made[row // 2, col // 2] = parent
    if not above:
        return
    assert set(made) == set(np.ndindex(above[0].tiles))
    for (row, col), tile in made.items():
        expected = whole[:, ::2, ::2][:, row * TILE : (row + 1) * TILE, col * TILE : (col + 1) * TILE]
        np.testing.assert_array_equal(tile, expected)
