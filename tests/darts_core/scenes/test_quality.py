"""Quality levels against golden arrays, on every kind of array."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from darts_core.scenes import SceneError
from darts_core.scenes.quality import (
    quality_from_cloud_probability,
    quality_from_observations,
    quality_from_qa_pixel,
    quality_from_scl,
    quality_from_udm,
    quality_from_udm2,
    quality_level,
)


def test_against_golden_arrays(golden):
    with np.load(golden / "darts" / "quality.npz") as arrays:
        np.testing.assert_array_equal(quality_from_scl(arrays["in_scl"]), arrays["out_scl"])
        np.testing.assert_array_equal(quality_from_udm2(arrays["in_udm2"]), arrays["out_planet"])
        observations = quality_from_observations(arrays["in_observations"])
        np.testing.assert_array_equal(observations, arrays["out_observations"])
        assert observations.dtype == arrays["out_observations"].dtype


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


def test_every_udm_code():
    """Against the bits one by one: any but the cloud bit makes a pixel useless."""
    levels = quality_from_udm(np.arange(256, dtype=np.uint8))
    assert levels.dtype == np.uint8
    for code, level in enumerate(levels):
        bits = {bit for bit in range(8) if code >> bit & 1}
        assert level == (0 if bits - {1} else 1 if bits else 2)


@pytest.mark.parametrize(
    ("code", "level"),
    # values and their meaning from the USGS table of frequent QA_PIXEL values
    [
        (1, 0),  # fill
        (21824, 2),  # clear, low confidences
        (21826, 1),  # dilated cloud over land
        (21888, 2),  # water
        (22080, 2),  # cloud of medium confidence, which USGS calls clear
        (22280, 1),  # cloud, high confidence
        (23888, 1),  # cloud shadow
        (30048, 1),  # snow
        (54596, 1),  # cirrus
        (0, 2),
    ],
)
def test_qa_pixel_values(code, level):
    assert quality_from_qa_pixel(np.array([code], np.uint16)) == level


@given(st.integers(0, 2**16 - 1))
def test_qa_pixel_is_decided_by_its_lowest_six_bits(code):
    bits = {bit for bit in range(6) if code >> bit & 1}
    assert quality_from_qa_pixel(np.array([code], np.uint16)) == (0 if 0 in bits else 1 if bits else 2)


@pytest.mark.parametrize("threshold", [1, 35, 100])
def test_cloud_probability(threshold):
    levels = quality_from_cloud_probability(np.arange(256, dtype=np.uint8), threshold)
    assert levels.dtype == np.uint8
    assert levels.tolist() == [2] * threshold + [1] * (101 - threshold) + [0] * 155


@pytest.mark.parametrize("threshold", [0, 101, -5])
def test_a_threshold_that_is_none_is_refused(threshold):
    with pytest.raises(SceneError, match=f"1 to 100 percent, received {threshold}"):
        quality_from_cloud_probability(np.zeros(1, np.uint8), threshold)


def test_the_worst_that_any_layer_says_counts():
    valid = xr.DataArray(np.array([[True] * 4 + [False]]), dims=("y", "x"))
    raw = xr.Dataset(
        {
            "scl": (("y", "x"), np.array([[4, 9, 4, 0, 4]], np.uint8)),
            "cloud_probability": (("y", "x"), np.array([[50, 0, 10, 0, 0]], np.uint8)),
            "observations": (("y", "x"), np.full((1, 5), 9, np.uint16)),
        }
    )
    assert quality_level(raw, valid).values.tolist() == [[1, 1, 2, 0, 0]]
    assert quality_level(raw, valid, cloud_threshold=60).values.tolist() == [[2, 1, 2, 0, 0]]
    lazy = quality_level(raw.chunk(x=2), valid.chunk(x=2))
    assert lazy.chunks is not None
    np.testing.assert_array_equal(lazy, quality_level(raw, valid))


def test_udm2_wants_eight_bands():
    with pytest.raises(SceneError, match=r"\(8, y, x\)"):
        quality_from_udm2(np.zeros((7, 4, 4), np.uint8))


@pytest.mark.parametrize("layer", ["scl", "udm2", "qa_pixel", None])
def test_invalid_is_zero_whatever_the_layer_says(layer):
    valid = xr.DataArray(np.array([[True, False], [True, True]]), dims=("y", "x"))
    layers = {
        "scl": xr.DataArray(np.array([[4, 4], [8, 0]], np.uint8), dims=("y", "x")),
        "udm2": xr.DataArray(np.zeros((8, 2, 2), np.uint8), dims=("udm2_band", "y", "x")),
        "qa_pixel": xr.DataArray(np.full((2, 2), 21824, np.uint16), dims=("y", "x")),
    }
    level = quality_level(xr.Dataset({layer: layers[layer]} if layer else {}), valid)
    assert level.dtype == np.uint8
    assert level.values.tolist() == ([[2, 0], [1, 0]] if layer == "scl" else [[2, 0], [2, 2]])
