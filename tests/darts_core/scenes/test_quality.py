"""Quality levels against golden arrays, on every kind of array."""

import numpy as np
import pytest
import xarray as xr

from darts_core.scenes import SceneError
from darts_core.scenes.quality import quality_from_scl, quality_from_udm2, quality_level


def test_against_golden_arrays(golden):
    with np.load(golden / "darts" / "quality.npz") as arrays:
        np.testing.assert_array_equal(quality_from_scl(arrays["in_scl"]), arrays["out_scl"])
        np.testing.assert_array_equal(quality_from_udm2(arrays["in_udm2"]), arrays["out_planet"])


def test_every_scl_code():
    levels = quality_from_scl(np.arange(256, dtype=np.uint8))
    assert levels.dtype == np.uint8
    assert levels[:12].tolist() == [0, 0, 2, 1, 2, 2, 2, 2, 1, 1, 2, 1]
    assert not levels[12:].any()


def test_lazy_stays_lazy_and_equal():
    rng = np.random.default_rng(0)
    scl = rng.integers(0, 12, (30, 20)).astype("uint8")
    udm2 = (rng.random((8, 30, 20)) < 0.1).astype("uint8")
    lazy_scl = quality_from_scl(xr.DataArray(scl, dims=("y", "x")).chunk(y=7))
    lazy_udm2 = quality_from_udm2(xr.DataArray(udm2, dims=("udm2_band", "y", "x")).chunk(udm2_band=1, y=7))
    assert lazy_scl.chunks is not None
    assert lazy_udm2.chunks is not None
    assert lazy_scl.dtype == lazy_udm2.dtype == np.uint8
    np.testing.assert_array_equal(lazy_scl, quality_from_scl(scl))
    np.testing.assert_array_equal(lazy_udm2, quality_from_udm2(udm2))


def test_udm2_wants_eight_bands():
    with pytest.raises(SceneError, match=r"\(8, y, x\)"):
        quality_from_udm2(np.zeros((7, 4, 4), np.uint8))


@pytest.mark.parametrize("layer", ["scl", "udm2", None])
def test_invalid_is_zero_whatever_the_layer_says(layer):
    valid = xr.DataArray(np.array([[True, False], [True, True]]), dims=("y", "x"))
    layers = {
        "scl": xr.DataArray(np.array([[4, 4], [8, 0]], np.uint8), dims=("y", "x")),
        "udm2": xr.DataArray(np.zeros((8, 2, 2), np.uint8), dims=("udm2_band", "y", "x")),
    }
    level = quality_level(xr.Dataset({layer: layers[layer]} if layer else {}), valid)
    assert level.dtype == np.uint8
    assert level.values.tolist() == ([[2, 0], [1, 0]] if layer == "scl" else [[2, 0], [2, 2]])
