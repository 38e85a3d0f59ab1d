"""Windows of rasters as lazy arrays."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.deliveries import truncate, write_raster

from darts_core.scenes.rasters import Raster, open_raster
from darts_core.scenes.scene import SceneError
from darts_core.scenes.windowed import MASK, Decoded, RasterWindows, lazy, piece

SHAPE = (1100, 4200)
"""Three by three pieces; none of the edges is a whole one."""


@pytest.fixture(scope="module")
def numbers() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 9000, (2, *SHAPE), dtype=np.uint16)


@pytest.fixture(scope="module", params=["pixel", "band", "strips"])
def raster(request: pytest.FixtureRequest, numbers: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Raster:
    layout = {"interleave": "band"} if request.param == "strips" else {"interleave": request.param, "tiled": True}
    path = write_raster(tmp_path_factory.mktemp("raster") / "a.tif", numbers, **layout)
    return open_raster(path, "a.tif")


def spans(length: int) -> st.SearchStrategy[slice]:
    return st.tuples(st.integers(0, length), st.integers(0, length)).map(lambda ends: slice(min(ends), max(ends)))


@settings(max_examples=30)
@given(rows=spans(SHAPE[0]), cols=spans(SHAPE[1]), band=st.integers(1, 2))
def test_a_window_is_that_part_of_the_file(
    raster: Raster, numbers: np.ndarray, rows: slice, cols: slice, band: int
) -> None:
    windows = RasterWindows(raster, (1, 2), Decoded(2**20))
    array = lazy(lambda r, c: windows.read(band, r, c), SHAPE, piece(raster), "uint16")
    assert array.shape == SHAPE
    np.testing.assert_array_equal(array[rows, cols].compute(), numbers[band - 1][rows, cols])


@pytest.mark.parametrize("key", [np.s_[7], np.s_[-1, 5], np.s_[900:100:-7, ::3], np.s_[[5, 2, 1000]], np.s_[3:3, 1]])
def test_other_indexes_are_those_of_numpy(raster: Raster, numbers: np.ndarray, key: object) -> None:
    windows = RasterWindows(raster, (1,), Decoded(2**20))
    array = lazy(lambda r, c: windows.read(1, r, c), SHAPE, piece(raster), "uint16")
    np.testing.assert_array_equal(array[key].compute(), numbers[0][key])


def test_a_slice_reads_no_more_than_the_slice() -> None:
    asked: list[tuple[slice, slice]] = []

    def read(rows: slice, cols: slice) -> np.ndarray:
        asked.append((rows, cols))
        return np.zeros((rows.stop - rows.start, cols.stop - cols.start), np.float32)

    lazy(read, (4000, 4000), (512, 2048), "float32")[1000:1040, 10:20].compute()
    assert sorted((rows.start, rows.stop, cols.start, cols.stop) for rows, cols in asked) == [
        (1000, 1024, 10, 20),
        (1024, 1040, 10, 20),
    ]


def test_threads_that_want_the_same_block_decode_it_once() -> None:
    decoded, waiting, calls = Decoded(2**20), threading.Barrier(4), []

    def want(number: int) -> np.ndarray:
        waiting.wait()
        return decoded.get("block", lambda: calls.append(number) or np.full(3, number))

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(want, range(4)))
    assert len(calls) == 1
    assert all(result is results[0] for result in results)


def test_what_was_used_last_is_kept_within_the_capacity() -> None:
    decoded, calls = Decoded(2 * 80), []

    def get(key: str) -> None:
        decoded.get(key, lambda: calls.append(key) or np.zeros(10))

    for key in "abacab":
        get(key)
    assert calls == ["a", "b", "c", "b"]


def test_a_failure_is_told_to_everyone_and_not_kept() -> None:
    decoded = Decoded(100)

    def fail() -> np.ndarray:
        raise SceneError("damaged")

    for _ in range(2):
        with pytest.raises(SceneError, match="damaged"):
            decoded.get("a", fail)
    assert decoded.get("a", lambda: np.ones(1)) == 1


def test_a_file_that_was_damaged_after_it_was_opened_is_named(tmp_path: Path, numbers: np.ndarray) -> None:
    raster = open_raster(write_raster(tmp_path / "later.tif", numbers, tiled=True), "later.tif")
    truncate(raster.path)
    with pytest.raises(SceneError, match=r"later\.tif is damaged"):
        RasterWindows(raster, (1,), Decoded(1)).read(1, slice(1000, 1010), slice(0, 10))


def test_mask_and_numbers_survive_a_change_of_process(raster: Raster, numbers: np.ndarray) -> None:
    windows = pickle.loads(pickle.dumps(RasterWindows(raster, (2,), Decoded(2**20))))
    np.testing.assert_array_equal(windows.read(2, slice(3, 9), slice(0, 5)), numbers[1, 3:9, :5])
    assert (windows.read(MASK, slice(0, 4), slice(0, 5)) == 255).all()
