import json
import os
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from support.rasters import assembled

from darts_core.inference.blocks import TILE
from darts_core.inference.mosaic import MosaicError, mosaic, panels, visiting_order
from darts_core.windows import PlanError, Ramp, col_weights, plan, row_weights

BUDGETS = (1, 500_000, 10**9)
"""Panels of one tile, of some tiles, of all."""


@st.composite
def tilings(draw, overlap=None):
    """Plans over grids that are long and narrow, so that they lie on several tiles."""
    factor = draw(st.integers(1, 4))
    long, narrow = draw(st.integers(1, 5)) * 400 // factor - draw(st.integers(0, 90)), draw(st.integers(1, 40))
    size = draw(st.integers(1, 40)), draw(st.sampled_from([8, 30, 128, 700, 1100])) // factor
    overlap = draw(st.one_of(st.integers(0, 8), st.integers(0, min(size) - 1)) if overlap is None else overlap)
    border = draw(st.integers(0, max(0, (overlap - 1) // 2)))
    upright = draw(st.integers(0, 3)) == 0
    try:
        tiling = plan(
            *((long, narrow) if upright else (narrow, long)),
            window=size[::-1] if upright else size,
            overlap=overlap,
            border=border,
            ramp=draw(st.sampled_from(Ramp)),
            factor=factor,
        )
    except PlanError:
        assume(False)
    assume(len(tiling) < 400 and len(tiling) * tiling.window[0] * tiling.window[1] * factor**2 < 2_000_000)
    return tiling


def shape_of(tiling):
    return tiling.height * tiling.factor, tiling.width * tiling.factor


def fine(values, factor):
    return values.repeat(factor, -2).repeat(factor, -1)


def blended(windows, tiling, bands=1, *, nodata=None, valid=None, budget=10**9, **options):
    """The whole raster from windows by number."""
    order = visiting_order(tiling, bands, windows, budget=budget)
    coming = ((number, torch.from_numpy(windows[number])) for number in order)
    # a list: what comes later must not overwrite what came before
    found = list(mosaic(coming, tiling, bands, nodata=nodata, valid=valid, budget=budget, **options))
    return assembled(found, shape_of(tiling))


def summed(windows, tiling):
    """Full weight rasters, summed in float64; what has no weight does not count."""
    down, across, f = row_weights(tiling).astype(float), col_weights(tiling).astype(float), tiling.factor
    total = np.zeros((1, *shape_of(tiling)))
    for number, window in enumerate(tiling):
        row, col = divmod(number, len(tiling.col_offsets))
        weight = np.outer(down[row], across[col])
        place = total[:, window.row * f : window.rows.stop * f, window.col * f : window.cols.stop * f]
        place += np.where(weight > 0, windows[number] * weight, 0)
    return total


def random_windows(tiling, dtype, seed):
    rng = np.random.default_rng(seed)
    shape = 1, tiling.window[0] * tiling.factor, tiling.window[1] * tiling.factor
    if dtype == "float32":
        return {number: rng.random(shape, np.float32) for number in range(len(tiling))}
    codes = np.iinfo(dtype)
    return {number: rng.integers(codes.min, codes.max, shape, dtype, True) for number in range(len(tiling))}


@given(tilings(), st.sampled_from(["uint8", "uint16", "int16", "float32"]), st.integers(0, 99))
def test_windows_are_summed_by_weight_and_the_bytes_do_not_depend_on_the_panels(tiling, dtype, seed):
    windows = random_windows(tiling, dtype, seed)
    rasters = [blended(windows, tiling, budget=budget) for budget in BUDGETS]
    assert rasters[0].dtype == dtype
    assert rasters[0].tobytes() == rasters[1].tobytes() == rasters[2].tobytes()
    if dtype == "float32":
        np.testing.assert_allclose(rasters[0], summed(windows, tiling), atol=2e-6)
    else:
        assert np.abs(rasters[0] - summed(windows, tiling)).max() <= 0.5 + 0.02


@given(tilings(), st.sampled_from([0, 0.5, 0.99, 1]), st.sampled_from(BUDGETS), st.sampled_from([0, 65535]))
def test_an_identity_gives_the_valid_pixels_back_and_nodata_elsewhere(tiling, invalid, budget, nodata):
    rng = np.random.default_rng(len(tiling))
    scene = rng.integers(0, 65535, (2, tiling.height, tiling.width), np.uint16, True)
    mask = rng.random((tiling.height, tiling.width)) >= invalid
    # windows without a valid pixel do not come
    windows = {
        number: fine(scene[:, window.rows, window.cols], tiling.factor)
        for number, window in enumerate(tiling)
        if mask[window.rows, window.cols].any()
    }
    raster = blended(
        *(windows, tiling, 2),
        nodata=nodata,
        valid=lambda area: mask[area.rows, area.cols],
        dtype="uint16",
        budget=budget,
    )
    assert (raster == fine(np.where(mask, scene, np.uint16(nodata)), tiling.factor)).all()


@given(tilings(), st.sampled_from(["uint8", "uint16", "int16"]), st.data())
def test_a_constant_stays_the_constant(tiling, dtype, data):
    codes = np.iinfo(dtype)
    value = data.draw(st.integers(codes.min, codes.max))
    shape = 1, tiling.window[0] * tiling.factor, tiling.window[1] * tiling.factor
    windows = {number: np.full(shape, value, dtype) for number in range(len(tiling))}
    assert (blended(windows, tiling) == value).all()


@given(tilings(), st.data())
def test_what_a_window_that_did_not_come_counts_for_is_nodata(tiling, data):
    missing = data.draw(st.sets(st.integers(0, len(tiling) - 1), min_size=1))
    windows = random_windows(tiling, "float32", 0)
    expected = summed(windows, tiling)
    lost = np.zeros((tiling.height, tiling.width), bool)
    for number in missing:
        del windows[number]
        row, col = divmod(number, len(tiling.col_offsets))
        counts = np.outer(row_weights(tiling)[row], col_weights(tiling)[col]) > 0
        window, f = tiling[number], tiling.factor
        lost[window.rows, window.cols] |= counts.reshape(window.height, f, window.width, f).any((1, 3))
    raster = blended(
        *(windows, tiling),
        nodata=np.nan,
        valid=lambda area: np.ones((area.height, area.width), bool),
        dtype="float32",
        budget=data.draw(st.sampled_from(BUDGETS)),
    )
    expected[:, fine(lost, tiling.factor)] = np.nan
    np.testing.assert_allclose(raster, expected, atol=2e-6)


@given(tilings(overlap=st.integers(1, 12)))
def test_what_has_no_weight_does_not_matter(tiling):
    down, across = row_weights(tiling), col_weights(tiling)
    windows = {}
    for number in range(len(tiling)):
        row, col = divmod(number, len(tiling.col_offsets))
        windows[number] = np.where(np.outer(down[row], across[col]) > 0, np.float32(7), np.float32("nan"))[None]
    np.testing.assert_allclose(blended(windows, tiling), 7, rtol=1e-6)


def test_whole_images_equal_those_of_opensr_utils(golden):
    for case in json.loads((golden / "super_resolution" / "index.json").read_text()):
        arrays = np.load(golden / "super_resolution" / f"{case['name']}.npz")
        tiling = plan(
            *(case["h"], case["w"]),
            window=(case["win"][1], case["win"][0]),
            overlap=case["ov"],
            border=case["el"],
            factor=case["f"],
        )
        scene = np.clip(arrays["lr"].astype(np.float32) / np.float32(1e4), 0, 1)
        # opensr-utils keeps its windows as digital numbers
        windows = {
            number: np.rint(_place_in_window(scene[:, one.rows, one.cols], case["f"]) * 1e4)
            for number, one in enumerate(tiling)
        }
        codes = {number: one.astype(np.uint16) for number, one in windows.items()}
        assert np.abs(blended(codes, tiling, 4).astype(int) - arrays["sr"]).max() <= 1, case["name"]
        # its last step truncates; where the sum is a whole number, the last bits of float32 decide
        exact = blended(windows, tiling, 4).astype(float)
        assert (np.floor(exact - 2e-3) <= arrays["sr"]).all(), case["name"]
        assert (np.floor(exact + 2e-3) >= arrays["sr"]).all(), case["name"]
        assert (np.floor(exact) == arrays["sr"]).mean() > 0.985, case["name"]


def _place_in_window(values, factor):
    """The model of the golden arrays: its result depends on the place inside the window."""
    values = fine(values, factor)
    across, down = (torch.linspace(0, 1, size).numpy() for size in values.shape[:-3:-1])
    return np.float32(0.5) * values + np.float32(0.25) * across + np.float32(0.25) * down[:, None]


def test_a_tile_leaves_before_later_windows_are_asked_for():
    tiling = plan(300, 128, window=(128, 128), overlap=8, factor=4)
    asked = []

    def windows():
        for number in range(len(tiling)):
            asked.append(number)
            yield number, torch.ones((1, 512, 512), dtype=torch.uint8)

    blocks = mosaic(windows(), tiling, 1, nodata=None, valid=None)
    # the last window alone ends at the tile's last row
    assert next(blocks).data.shape == (1, TILE, TILE)
    assert asked == [0, 1]


WINDOW = torch.ones((1, 8, 8), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        ([(1, WINDOW), (0, WINDOW)], "Window 0 did not come"),
        ([(0, WINDOW), (1, WINDOW), (1, WINDOW)], "visiting order; 1 came after 1"),
        ([(0, WINDOW), (1, WINDOW), (0, WINDOW)], "visiting order; 0 came after 1"),
        ([(9, WINDOW)], "below 4 come once each, in their visiting order; 9 came first"),
        ([(number, WINDOW) for number in (0, 1, 2, 3, 3)], "3 came after 3"),
        ([(number, WINDOW) for number in (0, 1, 2)], "Window 3 did not come"),
        ([(0, WINDOW[:, :7])], r"should be of the shape \(1, 8, 8\); it is \(1, 7, 8\)"),
        ([(0, WINDOW), (1, WINDOW.short())], "Window 1 should be torch.uint8 on cpu; it is torch.int16 on cpu"),
        ([(0, WINDOW), (1, WINDOW.to("meta"))], "Window 1 should be torch.uint8 on cpu; it is torch.uint8 on meta"),
        ([], "pass it as `dtype`"),
    ],
)
def test_windows_that_do_not_fit_are_refused(windows, message):
    tiling = plan(14, 14, window=(8, 8), overlap=2)
    with pytest.raises(MosaicError, match=message):
        list(mosaic(windows, tiling, 1, nodata=None, valid=None))


def test_a_mask_needs_nodata():
    with pytest.raises(MosaicError, match="pass the nodata code"):
        next(mosaic([], plan(8, 8, window=(8, 8), overlap=0), 1, nodata=None, valid=lambda _: np.ones((8, 8), bool)))


def test_the_mask_is_asked_for_once_a_row_of_tiles():
    tiling = plan(700, 800, window=(64, 64), overlap=8, factor=3)
    seen = np.zeros((700, 800), int)

    def valid(area):
        seen[area.rows, area.cols] += 1
        return np.ones((area.height, area.width), bool)

    windows = ((number, torch.ones((1, 192, 192), dtype=torch.uint8)) for number in range(len(tiling)))
    for _ in mosaic(windows, tiling, 1, nodata=0, valid=valid):
        pass
    # tiles end within pixels of the grid
    assert (seen == np.where((np.arange(700) * 3 % TILE > TILE - 3) & (np.arange(700) < 699), 2, 1)[:, None]).all()


def test_the_temporary_file_has_no_name_and_is_closed_in_the_end(tmp_path):
    tiling = plan(256, 600, window=(64, 64), overlap=8, factor=4)
    window = torch.ones((1, 256, 256), dtype=torch.uint16)

    def started():
        windows = ((number, window) for number in visiting_order(tiling, 1, range(len(tiling)), budget=1))
        return mosaic(windows, tiling, 1, nodata=None, valid=None, budget=1, spill=tmp_path)

    def files():
        numbers = os.listdir("/proc/self/fd")
        return sum(os.path.realpath(f"/proc/self/fd/{number}").startswith(str(tmp_path)) for number in numbers)

    blocks = started()
    found = [files() for _ in blocks]
    # of two rows of tiles in five panels: the panels between read one file and write another
    assert found == [1, 1, 2, 2, 2, 2, 2, 2, 1, 1]
    assert os.listdir(tmp_path) == []
    assert files() == 0
    given_up = started()
    next(given_up)
    assert files() == 1
    given_up.close()
    assert files() == 0


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize(("height", "width", "overlap"), [(300, 900, 8), (900, 300, 8), (700, 900, 8), (300, 900, 48)])
def test_the_accumulators_keep_to_the_budget(height, width, overlap, dtype):
    tiling = plan(height, width, window=(64, 64), overlap=overlap, factor=4)
    budget = 15_000_000
    window = torch.from_numpy(random_windows(tiling, dtype, 0)[0]).repeat(2, 1, 1)
    windows = ((number, window) for number in visiting_order(tiling, 2, range(len(tiling)), budget=budget))
    everything = np.ones((height, width), bool)
    blocks = mosaic(windows, tiling, 2, nodata=0, valid=lambda area: everything[area.rows, area.cols], budget=budget)
    tracemalloc.start()
    try:
        for _ in blocks:
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    accumulators = max(one.nbytes for one in panels(tiling, 2, budget))
    assert accumulators <= budget
    # beside them: the tile that was handed out, and a window on its way through the temporary file
    assert peak <= accumulators + 2 * window.itemsize * TILE**2 + 3 * window.nbytes


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU, which is not here")
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("budget", BUDGETS)
def test_on_a_gpu_the_bytes_are_those_of_the_cpu(dtype, budget):
    tiling = plan(300, 700, window=(64, 64), overlap=12, border=2, factor=4)
    windows = random_windows(tiling, dtype, 1)
    mask = np.random.default_rng(2).random((300, 700)) > 0.5
    mask[:70, :70] = False
    del windows[0]

    def raster(device):
        order = visiting_order(tiling, 1, windows, budget=budget)
        coming = ((number, torch.from_numpy(windows[number]).to(device)) for number in order)
        found = mosaic(coming, tiling, 1, nodata=5, valid=lambda area: mask[area.rows, area.cols], budget=budget)
        return assembled(list(found), shape_of(tiling))

    assert raster("cuda").tobytes() == raster("cpu").tobytes()
