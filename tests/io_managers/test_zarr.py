"""Datasets as Zarr v3."""

from collections.abc import Callable
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from support.conformance import KEY, IOManagerConformance, materialized
from support.datasets import preprocessed_dataset

from darts_core.contracts import encode, validate
from darts_core.store import DamagedProduct, Store
from io_managers.base import Made
from io_managers.zarr import ZarrIOManager


class Preprocessed(IOManagerConformance):
    """Every dtype and nodata of the contract, in a UTM zone and in the CRS of the Arctic."""

    manager_class = ZarrIOManager
    contract = "preprocessed"

    def value(self, number: int) -> xr.Dataset:
        return preprocessed_dataset(seed=number, crs="EPSG:32608" if number == 1 else "EPSG:3413")

    def assert_same(self, read: xr.Dataset, number: int) -> None:
        validate(read, "preprocessed")
        expected = self.value(number)
        assert read.rio.crs == expected.rio.crs
        assert read.rio.transform() == expected.rio.transform()
        xr.testing.assert_equal(
            encode(read, "preprocessed").drop_vars("spatial_ref"),
            encode(expected, "preprocessed").drop_vars("spatial_ref"),
        )


class TestRawScene(IOManagerConformance):
    """Digital numbers of any dtype and nodata, as they are."""

    manager_class = ZarrIOManager

    def value(self, number: int) -> xr.Dataset:
        rng = np.random.default_rng(number)
        dtypes = {"uint8": 0, "uint16": 65535, "int16": -32768, "float32": -np.inf, "float64": np.nan}
        arrays = {
            f"band_{dtype}": (
                ("y", "x"),
                rng.integers(1, 100, (40, 30)).astype(dtype),
                {"_FillValue": np.dtype(dtype).type(nodata), "scale_factor": 1e-4, "add_offset": -0.1},
            )
            for dtype, nodata in dtypes.items()
        }
        for name, nodata in zip(arrays, dtypes.values(), strict=True):
            arrays[name][1][0, 0] = nodata
        axes = {"y": np.arange(40, 0, -1) * 10.0, "x": np.arange(30) * 10.0}
        item = {"type": "Feature", "id": KEY, "properties": {"datetime": "2021-08-21T21:00:19Z"}}
        return xr.Dataset(arrays, axes, {"scene": KEY, "stac_item": item}).rio.write_crs("EPSG:32608")

    def failing(self, then: Callable[[], None]) -> xr.Dataset:
        dataset = self.value(2).chunk({"y": 16})
        return dataset.assign(band_int16=dataset["band_int16"].copy(data=calling(dataset["band_int16"].data, then)))

    def assert_same(self, read: xr.Dataset, number: int) -> None:
        expected = self.value(number)
        assert read.rio.crs == expected.rio.crs
        assert read.attrs["stac_item"] == expected.attrs["stac_item"]
        for name, array in expected.data_vars.items():
            assert read[name].dtype == array.dtype
            np.testing.assert_array_equal(read[name].values, array.values)
            for attribute in ("_FillValue", "scale_factor", "add_offset"):
                np.testing.assert_equal(read[name].attrs[attribute], array.attrs[attribute])


def calling(array: da.Array, then: Callable[[], None]) -> da.Array:
    """`array`, which calls `then` once, when a block behind the first is computed."""
    called = []

    def passed_on(block: np.ndarray, block_info: dict | None = None) -> np.ndarray:
        if block_info and block_info[0]["chunk-location"][0] == 1 and not called:
            called.append(True)
            then()
        return block

    return array.map_blocks(passed_on, dtype=array.dtype, meta=array)


def test_a_preprocessed_scene_is_read_back_lazily(store: Store) -> None:
    case, number = Preprocessed(), 1 if store.local else 2
    case.make(store, "v1", number)
    read = case.read(store)
    assert all(array.chunks for array in read.data_vars.values())
    case.assert_same(read, number)


def test_the_stac_item_lies_beside_the_scene(store: Store) -> None:
    case = TestRawScene()
    case.make(store, "v1", 1)
    assert KEY.encode() in store.fs.cat_file(case.current(store).path("item.json"))


def test_a_chunk_that_disappears_while_it_is_read_is_an_error_not_nan(store: Store) -> None:
    case = Preprocessed()
    case.make(store, "v1", 1)
    read = case.read(store)
    store.fs.rm_file(case.current(store).path("data.zarr", "blue", "c", "0", "0"))
    with pytest.raises(DamagedProduct, match=r"data\.zarr/blue/c/0/0 disappeared"):
        read["blue"].load()


def test_a_chunk_of_the_right_size_with_wrong_bytes_is_an_error(store: Store) -> None:
    case = Preprocessed()
    case.make(store, "v1", 1)
    chunk = case.current(store).path("data.zarr", "blue", "c", "0", "0")
    whole = store.fs.cat_file(chunk)
    store.fs.pipe_file(chunk, whole[:20] + bytes([whole[20] ^ 255]) + whole[21:])
    with pytest.raises(ValueError, match="checksum"):
        case.read(store)["blue"].load()


def test_other_software_decodes_the_packing(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    case = Preprocessed()
    case.make(store, "v1", 1)
    plain = xr.open_zarr(case.current(store).path("data.zarr"), consolidated=False)
    np.testing.assert_allclose(plain["blue"], case.value(1)["blue"], atol=5.1e-5)
    np.testing.assert_allclose(plain["relative_elevation"], case.value(1)["relative_elevation"], atol=1 / 600 + 1e-5)


def test_a_dataset_of_another_product_is_refused(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    case = Preprocessed()
    alien = case.value(1).rename(blue="purple")
    with pytest.raises(Exception, match="no variable 'purple'"):
        materialized(case.manager(store), "preprocessed", Made("v1", alien, lambda product: {}))
