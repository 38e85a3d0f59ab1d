"""Rasters as Cloud-Optimized GeoTIFF."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import rioxarray  # noqa: F401
import xarray as xr
from support.conformance import KEY, IOManagerConformance, loaded, materialized

from darts_core import contracts
from darts_core.inference.blocks import Block
from darts_core.inference.geotiff import RasterError, RasterStream, blocks_of
from darts_core.store import Store
from io_managers.base import Made
from io_managers.cog import CogIOManager

PRODUCTS = ("super_resolved", "ensemble", "postprocessed")
BANDS = {product: [row.name for row in contracts.PRODUCTS[product]] for product in PRODUCTS}


def raster(
    product: str,
    bands: list[str],
    number: int,
    *,
    shape: tuple[int, int] = (600, 40),
    resolution: float = 5.0,
    crs: str = "EPSG:32608",
) -> xr.Dataset:
    """Random values of the product within range, as they are after a round trip; a corner of nodata."""
    rng = np.random.default_rng(number)
    arrays = {}
    for name in bands:
        row = contracts.variable(product, name)
        assert row is not None
        values = rng.uniform(*row.valid, shape)
        if row.nodata is not None:
            values[:30, :20] = np.nan if row.memory == "float32" else row.nodata
        memory = values.astype(row.memory) if row.memory == "float32" else values.round().astype(row.memory)
        arrays[name] = (("y", "x"), row.decode(row.encode(memory)))
    axes = {
        "y": 7_480_000 - (np.arange(shape[0]) + 0.5) * resolution,
        "x": 490_000 + (np.arange(shape[1]) + 0.5) * resolution,
    }
    return contracts.conform(xr.Dataset(arrays, axes).rio.write_crs(crs).rio.write_transform(), product, "random")


def calling(stream: RasterStream, then: Callable[[], None]) -> RasterStream:
    """`stream`, which calls `then` when its first rows are written."""

    def blocks() -> Iterator[Block]:
        rest = stream.blocks()
        yield next(rest)
        then()
        yield from rest

    return replace(stream, blocks=blocks)


def assert_equal(read: xr.Dataset, expected: xr.Dataset, product: str) -> None:
    contracts.validate(read, product)
    assert (read.rio.crs, read.rio.transform()) == (expected.rio.crs, expected.rio.transform())
    assert set(read.data_vars) == set(expected.data_vars)
    for name, array in expected.data_vars.items():
        np.testing.assert_array_equal(read[name].values, array.values, err_msg=str(name))


class TestOneRaster(IOManagerConformance):
    """A raster of several bands, in a UTM zone and in the CRS of the Arctic."""

    manager_class = CogIOManager
    contract = "super_resolved"

    def dataset(self, number: int) -> xr.Dataset:
        crs = "EPSG:32608" if number == 1 else "EPSG:3413"
        return raster("super_resolved", BANDS["super_resolved"], number, crs=crs)

    def value(self, number: int) -> RasterStream:
        return blocks_of(self.dataset(number), "super_resolved", tags={"factor": "4"})

    def failing(self, then: Callable[[], None]) -> RasterStream:
        return calling(self.value(2), then)

    def assert_same(self, read: xr.Dataset, number: int) -> None:
        assert_equal(read, self.dataset(number), "super_resolved")
        assert read.attrs["factor"] == "4"


class OneRasterAModel(IOManagerConformance):
    """Rasters of different resolutions: they come back on the finest grid."""

    manager_class = CogIOManager
    contract = "segmentation"

    def fine(self, number: int) -> xr.Dataset:
        return raster("segmentation", ["probabilities-fine"], number)

    def coarse(self, number: int) -> xr.Dataset:
        return raster("segmentation", ["probabilities-coarse"], number + 10, shape=(300, 20), resolution=10.0)

    def value(self, number: int) -> dict[str, RasterStream]:
        return {
            "coarse": blocks_of(self.coarse(number), "segmentation", tags={"model_digest": "c0"}),
            "fine": blocks_of(self.fine(number), "segmentation", tags={"model_digest": "f1"}),
        }

    def failing(self, then: Callable[[], None]) -> dict[str, RasterStream]:
        value = self.value(2)
        return {**value, "fine": calling(value["fine"], then)}

    def assert_same(self, read: xr.Dataset, number: int) -> None:
        fine, coarse = self.fine(number), self.coarse(number)["probabilities-coarse"]
        repeated = coarse.values.repeat(2, axis=0).repeat(2, axis=1)
        expected = fine.assign({"probabilities-coarse": fine["probabilities-fine"].copy(data=repeated)})
        assert_equal(read, expected, "segmentation")
        assert read.attrs["model_digests"] == "c0,f1"


@pytest.mark.parametrize("product", PRODUCTS[1:])
def test_every_product_is_read_back(product: str, store: Store) -> None:
    dataset = raster(product, BANDS[product], 1)
    manager = TestOneRaster().manager(store)
    materialized(manager, product, Made("v1", blocks_of(dataset, product), lambda read: {}))
    read = loaded(manager, product)
    assert all(array.chunks for array in read.data_vars.values()), "inputs are lazy"
    assert_equal(read, dataset, product)


def test_rasters_of_several_models_are_read_back(store: Store) -> None:
    case = OneRasterAModel()
    case.make(store, "v1", 1)
    case.assert_same(case.read(store), 1)


def test_a_new_model_computes_only_its_own(store: Store) -> None:
    case = OneRasterAModel()
    case.make(store, "v1", 1)
    earlier = case.current(store)
    value = {"coarse": earlier, "fine": earlier, "new": blocks_of(_new_model(), "segmentation")}
    case.made(store, "v2", value, 1)
    later = case.current(store)
    later.verify()
    for name in ("coarse.tif", "fine.tif"):
        assert later.manifest.objects[name] == earlier.manifest.objects[name]
    assert set(case.read(store).data_vars) == {"probabilities-coarse", "probabilities-fine", "probabilities-new"}
    earlier.verify()


def test_an_interrupted_run_that_took_rasters_over_goes_on(store: Store) -> None:
    case = OneRasterAModel()
    case.make(store, "v1", 1)
    earlier = case.current(store)
    new = blocks_of(_new_model(), "segmentation")

    def fail() -> None:
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        case.made(store, "v2", {"coarse": earlier, "fine": earlier, "new": calling(new, fail)}, 1)
    case.made(store, "v2", {"coarse": earlier, "fine": earlier, "new": new}, 1)
    assert set(case.current(store).manifest.objects) == {"coarse.tif", "fine.tif", "new.tif"}
    case.current(store).verify()
    earlier.verify()


def _new_model() -> xr.Dataset:
    return raster("segmentation", ["probabilities-new"], 5)


def test_a_raster_that_was_finished_before_an_interruption_is_not_made_again(store: Store) -> None:
    case, started = OneRasterAModel(), []

    def fail() -> None:
        raise RuntimeError("power cut")

    def counted(name: str, stream: RasterStream) -> RasterStream:
        return replace(stream, blocks=lambda: started.append(name) or stream.blocks())

    for value in (case.failing(fail), case.value(2)):
        try:
            case.made(store, "v2", {name: counted(name, stream) for name, stream in value.items()}, 2)
        except RuntimeError:
            continue
    assert started == ["coarse", "fine", "fine"]
    case.assert_same(case.read(store), 2)


def test_a_raster_of_another_product_is_refused(store: Store) -> None:
    manager = TestOneRaster().manager(store)
    stream = blocks_of(_new_model(), "segmentation")
    with pytest.raises(RasterError, match="should be a raster of 'ensemble'"):
        materialized(manager, "ensemble", Made("v1", stream, lambda read: {}))


@pytest.mark.parametrize("store", ["s3"], indirect=True)
def test_a_window_of_an_object_store_is_read_by_ranges(s3: str, store: Store) -> None:
    large = raster("segmentation", ["probabilities-large"], 1, shape=(2100, 2100))
    case = OneRasterAModel()
    case.made(store, "v1", {"large": blocks_of(large, "segmentation")}, 1)
    size = case.current(store).manifest.objects["large.tif"].size
    with _counting_proxy(s3) as (endpoint, received):
        version = Store(store.root, {"endpoint_url": endpoint}).current("product", KEY)
        before = sum(received)
        read = case.manager(version.store).read(version, "segmentation")["probabilities-large"]
        assert 0 < sum(received) - before < 100_000, "opening reads the header"
        np.testing.assert_array_equal(read[1500:1600, 300:400], large["probabilities-large"][1500:1600, 300:400])
        assert 100_000 < sum(received) - before < size / 2, "a window reads its chunk"


@contextmanager
def _counting_proxy(endpoint: str) -> Iterator[tuple[str, list[int]]]:
    """An address that passes everything on to `endpoint`, and the bytes that came back from it, piece by piece."""
    host, port = endpoint.removeprefix("http://").split(":")
    received: list[int] = []

    def carry(source: socket.socket, target: socket.socket, counts: list[int]) -> None:
        with source, target:
            try:
                while piece := source.recv(65536):
                    counts.append(len(piece))
                    target.sendall(piece)
            except OSError:
                return  # the other side hung up

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return  # closed: the test is over
            server = socket.create_connection((host, int(port)))
            for source, target, counts in ((client, server, []), (server, client, received)):
                threading.Thread(target=carry, args=(source, target, counts), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", received
