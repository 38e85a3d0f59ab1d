"""Erosion and objects strip by strip against SciPy on the whole."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from darts_core.objects import Objects, erode, erode_lazily, label_objects, runs_of

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14))
STRUCTURES = {4: ndimage.generate_binary_structure(2, 1), 8: np.ones((3, 3))}


def array(mask: np.ndarray, rows: int | None) -> xr.DataArray:
    whole = xr.DataArray(mask, dims=("y", "x"))
    return whole if rows is None else whole.chunk({"y": rows, "x": 5})


@given(mask=MASKS, radius=st.integers(0, 6), outside=st.booleans())
def test_erosion_keeps_a_euclidean_distance(mask: np.ndarray, radius: int, outside: bool) -> None:
    margin = radius + 1
    distance = ndimage.distance_transform_edt(np.pad(mask, margin, constant_values=outside))
    if mask.all() and outside:
        distance = np.full(distance.shape, np.inf)
    expected = distance[margin:-margin, margin:-margin] > radius
    np.testing.assert_array_equal(erode(mask, radius, outside=outside), expected)


@settings(max_examples=40)
@given(mask=MASKS, radius=st.integers(0, 6), outside=st.booleans(), rows=st.integers(1, 6))
def test_erosion_of_blocks_is_that_of_the_whole(mask: np.ndarray, radius: int, outside: bool, rows: int) -> None:
    lazy = erode_lazily(array(mask, rows), radius, outside=outside)
    np.testing.assert_array_equal(lazy.values, erode(mask, radius, outside=outside))


@given(mask=MASKS, rows=st.none() | st.integers(1, 5))
def test_a_mask_comes_back_from_its_runs(mask: np.ndarray, rows: int | None) -> None:
    given_mask = array(mask, rows)
    (runs,) = runs_of(given_mask)
    assert (runs.ends > runs.starts).all()
    painted = runs.paint(given_mask)
    np.testing.assert_array_equal(painted.values, mask)
    assert painted.chunks == given_mask.chunks
    np.testing.assert_array_equal(runs.paint(array(mask, 3)).values, mask)


@pytest.mark.parametrize("connectivity", [4, 8])
@given(mask=MASKS, rows=st.none() | st.integers(1, 5))
def test_objects_are_those_of_labels(connectivity: int, mask: np.ndarray, rows: int | None) -> None:
    like = array(mask, rows)
    objects = label_objects(*runs_of(like), connectivity)
    expected, count = ndimage.label(mask, STRUCTURES[connectivity])
    expected = _by_first_pixel(expected)
    assert objects.count == count
    np.testing.assert_array_equal(labels_of(objects, like), expected)
    np.testing.assert_array_equal(objects.count_pixels(), np.bincount(expected.ravel(), minlength=count + 1)[1:])
    first = [np.argwhere(expected == label)[0] for label in range(1, count + 1)]
    np.testing.assert_array_equal(np.transpose(objects.first_pixels), np.reshape(first, (-1, 2)))


def labels_of(objects: Objects, like: xr.DataArray) -> np.ndarray:
    """Numbers from 1 on the pixels of the objects, 0 elsewhere."""
    labels = np.zeros(like.shape, int)
    for rows, places, owners, _ in objects.walk(like):
        labels[rows].ravel()[places] = owners + 1
    return labels


def _by_first_pixel(labels: np.ndarray) -> np.ndarray:
    found, first = np.unique(labels[labels > 0], return_index=True)
    renumbered = np.zeros(labels.max(initial=0) + 1, int)
    renumbered[found[np.argsort(first)]] = np.arange(1, len(found) + 1)
    return renumbered[labels]


@given(mask=MASKS, rows=st.none() | st.integers(1, 5), data=st.data())
def test_parts_of_objects_are_known_and_counted(mask: np.ndarray, rows: int | None, data: st.DataObject) -> None:
    where, kept = data.draw(hnp.arrays(bool, mask.shape)), data.draw(hnp.arrays(bool, mask.shape))
    like = array(mask, rows)
    runs, parts = runs_of(like, array(mask & where, rows))
    whole = label_objects(runs, 8)
    # objects of which some are left out, so that parts lie in none
    chosen = np.bincount(labels_of(whole, like)[kept], minlength=whole.count + 1)[1:] > 0
    objects = label_objects(runs.where(chosen[whole.owners]), 8)
    labels = labels_of(objects, like)
    np.testing.assert_array_equal(labels > 0, np.isin(labels_of(whole, like), np.flatnonzero(chosen) + 1))
    np.testing.assert_array_equal(
        objects.count_pixels(parts), np.bincount(labels[where], minlength=objects.count + 1)[1:]
    )
    rows_of, columns_of = np.divmod(parts.starts, parts.stride)
    np.testing.assert_array_equal(objects.owners_of(parts), labels[rows_of, columns_of] - 1)
    values = [values for _, _, _, (values,) in objects.walk(like, array(where, rows))]
    np.testing.assert_array_equal(np.concatenate(values), where[labels > 0])


def test_more_objects_than_a_byte_counts() -> None:
    mask = np.zeros((200, 200), bool)
    mask[::2, ::2] = True
    assert label_objects(*runs_of(array(mask, 33)), 8).count == 10_000
    assert label_objects(*runs_of(array(mask, None)), 4).count_pixels().tolist() == [1] * 10_000


def test_an_object_that_winds_through_all_strips_is_one() -> None:
    mask = np.ones((40, 9), bool)
    mask[1::4, 1:] = mask[3::4, :-1] = False
    assert label_objects(*runs_of(array(mask, 1)), 4).count == 1
