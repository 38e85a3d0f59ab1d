import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from darts_core.windows import PlanError, Ramp, Window, col_weights, plan, ramp, row_weights, shards

lengths = st.integers(1, 90)


@st.composite
def plans(draw):
    """Any plan that is not refused."""
    window = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    border = draw(st.integers(0, 4))
    try:
        return plan(
            *(draw(lengths), draw(lengths)),
            window=window,
            overlap=draw(st.integers(0, min(window))),
            border=border,
            ramp=draw(st.sampled_from(Ramp)),
            factor=draw(st.integers(1, 4)),
        )
    except PlanError:
        assume(False)


@given(plans())
def test_windows_cover_the_grid_and_weights_sum_to_one_everywhere(tiling):
    total = np.zeros((tiling.height * tiling.factor, tiling.width * tiling.factor))
    down, across = row_weights(tiling), col_weights(tiling)
    for number, window in enumerate(tiling):
        assert Window(0, 0, tiling.height, tiling.width).contains(window)
        row, col = divmod(number, len(tiling.col_offsets))
        top, left = window.row * tiling.factor, window.col * tiling.factor
        weight = np.outer(down[row], across[col])
        assert (weight >= 0).all()
        total[top : top + len(weight), left : left + weight.shape[1]] += weight
    np.testing.assert_allclose(total, 1, atol=1e-5)


@given(plans())
def test_a_plan_is_a_sequence_in_row_major_order(tiling):
    windows = list(tiling)
    assert len(windows) == len(tiling)
    assert [tiling[number] for number in range(len(tiling))] == windows
    assert [(one.row, one.col) for one in windows] == sorted((one.row, one.col) for one in windows)


@given(plans(), st.integers(1, 5000), st.integers(1, 100_000))
def test_shards_are_whole_window_rows_that_hold_each_window_once(tiling, size, target):
    cut = shards(tiling, size, target)
    assert [number for shard in cut for number in shard.windows] == list(range(len(tiling)))
    assert all(shard.first % len(tiling.col_offsets) == 0 for shard in cut)


@pytest.mark.parametrize(("overlap", "count"), [(8, 8464), (12, 9025), (32, 13225)])
def test_a_sentinel2_tile(overlap, count):
    assert len(plan(10980, 10980, window=(128, 128), overlap=overlap)) == count


def test_windows_equal_those_of_opensr_utils(golden):
    for case in json.loads((golden / "super_resolution" / "index.json").read_text()):
        window = case["win"][1], case["win"][0]
        tiling = plan(case["h"], case["w"], window=window, overlap=case["ov"], border=case["el"], factor=case["f"])
        assert [[one.col, one.row, one.width, one.height] for one in tiling] == case["windows"]


def test_windows_equal_those_of_darts(golden):
    for name, expected in np.load(golden / "darts" / "patch_coords.npz").items():
        height, width, size, overlap = map(int, name.split("_")[1:])
        tiling = plan(height, width, window=(size, size), overlap=overlap)
        assert [[one.row, one.col] for one in tiling] == expected[:, :2].tolist()


@pytest.mark.parametrize("kind", Ramp)
def test_ramps_rise_from_0_to_1_and_are_symmetric(kind):
    rise = ramp(9, kind)
    assert (rise[0], rise[4], rise[-1]) == pytest.approx((0, 0.5, 1))
    assert (np.diff(rise) > 0).all() or (kind is Ramp.CROP and set(rise) == {0, 0.5, 1})
    np.testing.assert_allclose(rise + rise[::-1], 1)
    assert ramp(1, kind) == [0.5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window": (0, 8), "overlap": 0}, "a window of 0 x 8"),
        ({"window": (8, 8), "overlap": 8}, "overlap 8 and window 8"),
        ({"window": (8, 8), "overlap": -1}, "received -1 and 0"),
        ({"window": (8, 8), "overlap": 4, "border": 2}, "choose an overlap of 5 or more"),
        # both ramps end in 0 on the same single pixel
        ({"window": (8, 8), "overlap": 3, "border": 1}, "without any weight, the first at 6"),
        ({"window": (8, 8), "overlap": 2, "factor": 0}, "the factor 0"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(PlanError, match=message):
        plan(20, 20, **arguments)


def test_one_window_needs_no_overlap():
    assert len(plan(20, 20, window=(32, 32), overlap=64, border=40)) == 1


def test_a_window_validates_itself():
    with pytest.raises(PlanError, match="row=-1"):
        Window(-1, 0, 1, 1)


@given(lengths, lengths, st.integers(0, 20), st.data())
def test_growing_a_window_stays_in_the_grid_and_keeps_it(height, width, margin, data):
    row, col = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    window = Window(row, col, data.draw(st.integers(1, height - row)), data.draw(st.integers(1, width - col)))
    wide = window.grown(margin, height, width)
    assert wide.contains(window)
    grid = np.arange(height * width).reshape(height, width)
    assert (grid[wide.rows, wide.cols][window.within(wide)] == grid[window.rows, window.cols]).all()


def test_parameters_and_geometry_come_without_heavy_imports():
    modules = (
        "darts_core.windows, darts_core.superresolution.parameters, darts_core.segmentation.parameters, "
        "darts_core.training.parameters, darts_core.evaluation.parameters"
    )
    heavy = {"torch", "rasterio", "geopandas", "skimage", "lightning", "segmentation_models_pytorch"}
    code = f"import sys, {modules}; print(*sorted({heavy!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == ""
