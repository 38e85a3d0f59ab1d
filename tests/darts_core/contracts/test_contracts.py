"""The table of products: what is stored comes back, and a departure is named."""

import json

import numpy as np
import pytest
import rioxarray  # noqa: F401
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from darts_core import contracts
from darts_core.contracts import PRODUCTS, VARIABLES, ContractError

PACKED = [row for row in VARIABLES.values() if row.packed]


def physical(row: contracts.Variable) -> st.SearchStrategy[np.ndarray]:
    """Arrays in memory form that the disk form of `row` can hold, nodata included."""
    if row.packed:
        low, high = row.decode(np.array(row.codes, row.disk))
    else:
        low, high = row.valid
    if row.memory == "bool":
        elements: st.SearchStrategy = st.booleans()
    elif row.memory == "float32":
        elements = st.floats(float(low), float(high), width=32) | st.just(np.nan)
    else:
        elements = st.integers(int(low), int(high))
        elements = elements if row.nodata is None else elements | st.just(int(row.nodata))
    shapes = hnp.array_shapes(min_dims=2, max_dims=2, max_side=5)
    return hnp.arrays(row.memory, shapes, elements=elements)


def dataset(**variables: np.ndarray) -> xr.Dataset:
    height, width = next(iter(variables.values())).shape
    coords = {"y": 7_702_000.0 - 10 * np.arange(height), "x": 513_000.0 + 10 * np.arange(width)}
    return xr.Dataset({name: (("y", "x"), values) for name, values in variables.items()}, coords).rio.write_crs(32608)


def product(name: str, shape: tuple[int, int] = (3, 4)) -> xr.Dataset:
    """A dataset that keeps the contract of a product, with its middle value everywhere."""
    values = {
        row.name.replace("*", "a"): np.full(shape, row.memory == "bool" or np.mean(row.valid), row.memory)
        for row in PRODUCTS[name]
    }
    return contracts.conform(dataset(**values), name, "a test")


@pytest.mark.parametrize("row", PACKED, ids=lambda row: row.name)
def test_every_code_survives_memory(row: contracts.Variable) -> None:
    low, high = row.codes
    codes = np.append(np.arange(low, high + 1), row.nodata).astype(row.disk)
    np.testing.assert_array_equal(row.encode(row.decode(codes)), codes)


@pytest.mark.parametrize("row", VARIABLES.values(), ids=lambda row: row.name)
@settings(max_examples=40)
@given(data=st.data())
def test_values_survive_the_disk(row: contracts.Variable, data: st.DataObject) -> None:
    values = data.draw(physical(row))
    back = row.decode(row.encode(values))
    assert back.dtype == row.memory
    if row.memory == "float32":
        np.testing.assert_array_equal(np.isnan(back), np.isnan(values))
        half_a_step = (row.scale or 0) * 0.5001 + np.spacing(np.float32(max(map(abs, row.valid)) + 1))
        np.testing.assert_allclose(back, values, rtol=1e-6, atol=half_a_step)
    else:
        np.testing.assert_array_equal(back, values)


@pytest.mark.parametrize("row", PACKED, ids=lambda row: row.name)
def test_what_the_codes_cannot_hold_is_clipped_and_never_becomes_nodata(row: contracts.Variable) -> None:
    codes = row.encode(np.array([-1e6, 1e6, np.inf, -np.inf, np.nan], np.float32))
    low, high = row.codes
    np.testing.assert_array_equal(codes, np.array([low, high, high, low, row.nodata]).astype(row.disk))


def test_a_reflectance_of_zero_is_data() -> None:
    blue = VARIABLES["blue"]
    np.testing.assert_array_equal(blue.encode(np.array([0.0, -0.1], np.float32)), [1000, 1])


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("chunks", [None, {"y": 2, "x": 3}])
def test_a_product_survives_the_disk(name: str, chunks: dict | None) -> None:
    original = product(name)
    given = original if chunks is None else original.chunk(chunks)
    disk = contracts.encode(given, name)
    assert {key: str(array.dtype) for key, array in disk.data_vars.items()} == {
        row.name.replace("*", "a"): row.disk for row in PRODUCTS[name]
    }
    assert bool(disk.chunks) == (chunks is not None)
    back = contracts.decode(disk, name)
    contracts.validate(back, name)
    assert back.rio.crs == original.rio.crs
    for key in original:
        np.testing.assert_allclose(back[key], original[key], atol=6e-3 if VARIABLES.get(key) is None else 2e-3)
        assert {"long_name", "data_source"} <= back[key].attrs.keys()


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_conformed_product_is_valid_and_the_original_untouched(name: str) -> None:
    bare = product(name).drop_attrs(deep=False)
    copy = bare.copy(deep=True)
    contracts.validate(contracts.conform(bare, name, "elsewhere"), name)
    xr.testing.assert_identical(bare, copy)


def test_conform_takes_a_source_a_variable() -> None:
    bare = dataset(probabilities=np.zeros((2, 2)), spread=np.zeros((2, 2)))
    described = contracts.conform(bare, "ensemble", {"probabilities": "mean", "spread": "deviation"})
    assert described["probabilities"].dtype == np.float32
    assert described["spread"].attrs["data_source"] == "deviation"


def test_every_departure_is_named_at_once() -> None:
    broken = product("preprocessed").drop_vars("nir").assign(swir=(("y", "x"), np.zeros((3, 4))))
    broken["ndvi"] = broken["ndvi"].astype("float64")
    broken["red"] = broken["red"] * np.float32(np.nan) + np.float32(7)
    broken["slope"] = (broken["slope"] + 90).assign_attrs(broken["slope"].attrs)
    broken["blue"].attrs.pop("data_source")
    broken["green"].attrs.pop("units")
    broken["quality_level"] = broken["quality_level"].transpose("x", "y")
    broken["quality_level"][0, 0] = 9
    broken = broken.drop_vars(["spatial_ref", "x"])
    with pytest.raises(ContractError) as caught:
        contracts.validate(broken, "preprocessed")
    for departure in [
        "'nir' is missing",
        "'swir' is not part",
        "ndvi: dtype is float64, expected float32",
        "slope: values span 135..135, expected within 0..90",
        "blue: attribute 'data_source' is missing",
        "green: attribute 'units' is missing",
        "quality_level: axes are ('x', 'y')",
        "quality_level: values span 1..9, expected within 0..2",
        "coordinate 'x' is missing",
        "'spatial_ref' with a CRS is missing",
    ]:
        assert departure in str(caught.value)


def test_nodata_that_is_not_declared_is_a_departure() -> None:
    silent = product("postprocessed")
    silent["probabilities_percent"].attrs.pop("_FillValue")
    with pytest.raises(ContractError, match="probabilities_percent: nodata is None, expected 255"):
        contracts.validate(silent, "postprocessed")


def test_nodata_is_never_out_of_range() -> None:
    percent = product("postprocessed")
    percent["probabilities_percent"][:] = 255
    contracts.validate(percent, "postprocessed")
    gaps = product("ensemble")
    gaps["spread"][:] = np.nan
    contracts.validate(gaps, "ensemble")


def test_values_are_left_alone_on_request() -> None:
    def fail(block: np.ndarray) -> np.ndarray:
        raise AssertionError("computed")

    lazy = product("ensemble").chunk()
    lazy["spread"] = lazy["spread"].copy(
        data=lazy["spread"].data.map_blocks(fail, dtype="float32", meta=np.empty((0, 0), "f4"))
    )
    contracts.validate(lazy, "ensemble", values=False)
    with pytest.raises(AssertionError, match="computed"):
        contracts.validate(lazy, "ensemble")


@pytest.mark.parametrize("function", [contracts.validate, contracts.encode, contracts.decode])
def test_an_unknown_product_names_those_there_are(function) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ContractError, match=r"'soup'.*preprocessed, .*postprocessed"):
        function(product("ensemble"), "soup")


@pytest.mark.parametrize("function", [contracts.encode, contracts.decode])
def test_a_variable_of_another_product_is_refused(function) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ContractError, match="'ensemble' has no variable 'blue'"):
        function(dataset(blue=np.zeros((2, 2), "uint16")), "ensemble")


def test_probabilities_of_any_model_belong_to_segmentation() -> None:
    row = contracts.variable("segmentation", "probabilities-tcvis-l2")
    assert row is not None
    assert row.name == "probabilities-tcvis-l2"
    assert contracts.variable("segmentation", "probabilities") is None


@given(hnp.arrays("float32", (2, 3, 4), elements=st.floats(-2, 2, width=32) | st.just(np.nan)))
def test_model_input_is_finite_in_0_to_1_and_in_the_order_asked(values: np.ndarray) -> None:
    scene = dataset(red=values[0], ndvi=values[1])
    ndvi, red = contracts.model_input(scene, ("ndvi", "red"))
    assert np.isfinite([ndvi, red]).all()
    assert min(ndvi.min(), red.min()) >= 0
    assert max(ndvi.max(), red.max()) <= 1
    expected = np.clip((values[1].astype("float64") + 1) / 2, 0, 1)
    np.testing.assert_allclose(ndvi, np.nan_to_num(expected), atol=1e-6)
    np.testing.assert_array_equal(red, VARIABLES["red"].normalize(values[0]))


def test_model_input_names_the_bands_that_are_missing() -> None:
    with pytest.raises(ContractError, match=r"the scene lacks slope, tc_wetness \(it has red\)"):
        contracts.model_input(dataset(red=np.zeros((2, 2), "f4")), ("red", "slope", "tc_wetness"))


def test_ranges_are_those_of_the_published_codecs(golden) -> None:  # type: ignore[no-untyped-def]
    codecs = json.loads((golden / "darts" / "codecs.json").read_text())
    # extent and binarized_segmentation are no model input; quality_data_mask is a level there and a mask here
    shared = (codecs.keys() & VARIABLES.keys()) - {"quality_data_mask"}
    assert {"blue", "ndvi", "relative_elevation", "slope", "tc_wetness", "probabilities"} <= shared
    for name in shared:
        assert tuple(codecs[name]["valid"]) == VARIABLES[name].valid
        assert codecs[name]["memory"] == VARIABLES[name].memory or name == "binarized_segmentation"


def test_normalization_is_that_of_the_golden_arrays(golden) -> None:  # type: ignore[no-untyped-def]
    arrays = np.load(golden / "darts" / "normalize.npz")
    compared = [name for name in VARIABLES if f"in_{name}" in arrays]
    terrain = ["dem", "relative_elevation", "slope", "aspect", "hillshade", "curvature"]
    assert compared == ["red", "ndvi", *terrain, "tc_wetness"]
    for name in compared:
        result = VARIABLES[name].normalize(arrays[f"in_{name}"])
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, arrays[f"out_{name}"], rtol=1e-6, atol=1e-7)
