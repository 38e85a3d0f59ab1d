"""What IO managers do where room is short: on a full disk, and with rasters larger than memory should hold."""

import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
import xarray as xr
from support.datasets import preprocessed_dataset
from support.faulty_s3 import FaultyS3, faulty

import darts_core.remote
import darts_core.web
from darts_core.datasets import CHUNK
from darts_core.inference.geotiff import RasterError, blocks_of
from darts_core.store import StoreError, StoreUnavailable, Version
from io_managers.base import ProductIOManager, StoreResource
from io_managers.cog import CogIOManager
from io_managers.files import FileIOManager
from io_managers.geoparquet import GeoParquetIOManager
from io_managers.zarr import ZarrIOManager

SIDE = 1800


def noise(side: int = SIDE) -> xr.Dataset:
    """What no compressor makes smaller."""
    return preprocessed_dataset(shape=(side, side))[["red", "green", "blue", "nir"]]


def points() -> gpd.GeoDataFrame:
    rng = np.random.default_rng(0)
    places = rng.random((600_000, 2))
    return gpd.GeoDataFrame({"value": rng.random(len(places))}, geometry=shapely.points(places), crs=4326)


def weights(folder: Path) -> None:
    import torch

    torch.save({"weights": torch.rand(10_000_000)}, folder / "model.pt")


VALUES: dict[str, tuple[type[ProductIOManager], str | None, Callable[[], Any]]] = {
    "zarr": (ZarrIOManager, None, noise),
    "cog": (CogIOManager, "super_resolved", lambda: blocks_of(noise(), "super_resolved")),
    "parquet": (GeoParquetIOManager, None, points),
    "checkpoint": (FileIOManager, ".pt", lambda: weights),
}


@pytest.mark.parametrize("kind", VALUES)
def test_a_full_disk_is_told_as_one_whatever_was_written(kind: str, small_disk: Path) -> None:
    manager_class, contract, value = VALUES[kind]
    where = StoreResource(root=str(small_disk))
    manager = manager_class(store=where)
    with (
        pytest.raises(StoreError, match="asset of partition was not stored: no space left on the disk of"),
        where.open().draft("asset", "partition", "v1") as draft,
    ):
        manager.write(draft, value(), contract)
        draft.commit()
    assert where.open().partitions("asset") == []
    assert not list((small_disk / ".staging").iterdir())


@contextmanager
def behind_proxy(s3: str) -> Iterator[tuple[FaultyS3, StoreResource]]:
    """A proxy that is told what to do wrong, and an empty store behind it."""
    bucket = f"s3://test-{uuid.uuid4().hex}"
    with faulty(s3) as proxy:
        where = StoreResource(root=bucket, endpoint_url=proxy.url)
        where.open().fs.mkdir(bucket)
        yield proxy, where


def stored(manager: ProductIOManager, value: Any, contract: str) -> Version:
    """A value as it is stored."""
    with manager.store.open().draft("asset", "partition", "v1") as draft:
        manager.write(draft, value, contract)
        draft.commit()
    return manager.store.open().current("asset", "partition")


def test_a_window_of_a_zarr_product_is_one_request_a_chunk(s3: str) -> None:
    with behind_proxy(s3) as (proxy, where):
        manager = ZarrIOManager(store=where)
        given = preprocessed_dataset(shape=(2 * CHUNK + 10, CHUNK + 10))[["red", "valid_data_mask"]]
        version = stored(manager, given, "preprocessed")
        proxy.seen.clear()
        dataset = manager.read(version, "preprocessed")
        assert proxy.count("GET", "/c/") <= 2, "coordinates at most: no pixel is read to open a product"
        proxy.seen.clear()
        assert dataset["red"][CHUNK + 5 : CHUNK + 50, 5:50].to_numpy().shape == (45, 45)
        assert proxy.seen == [("GET", path) for _, path in proxy.seen if path.endswith("/red/c/1/0")]
        assert len(proxy.seen) == 1, "not also one for its size"


def test_gdal_asks_again_too(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(darts_core.web, "PAUSE", 0.05)
    with behind_proxy(s3) as (proxy, where):
        manager = CogIOManager(store=where)
        version = stored(manager, blocks_of(noise(700), "super_resolved"), "super_resolved")
        whole = manager.read(version, "super_resolved")["red"].to_numpy()
        proxy.fail("503", method="GET", part="raster.tif", times=2)
        read = manager.read(version, "super_resolved")
        proxy.fail("500", method="GET", part="raster.tif", times=2)
        proxy.fail("reset", method="GET", part="raster.tif", times=1)
        np.testing.assert_array_equal(read["red"].to_numpy(), whole)
        proxy.fail("500", method="GET", part="raster.tif")
        with pytest.raises(RasterError, match=r"raster\.tif"):
            read["nir"].load()


def test_a_store_that_dies_while_a_product_is_read_is_named(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(darts_core.remote, "_ATTEMPTS", 2)
    monkeypatch.setattr(darts_core.remote, "_REPEATS", 1)
    with behind_proxy(s3) as (proxy, where):
        manager = ZarrIOManager(store=where)
        dataset = manager.read(stored(manager, preprocessed_dataset(), "preprocessed"), "preprocessed")
        proxy.fail("reset")
        with pytest.raises(StoreUnavailable, match=f"The store {where.root} at {proxy.url} does not answer"):
            dataset["red"].load()


LARGE = """
import resource, sys
import dask.array as da
import numpy as np
import rioxarray
import xarray as xr
from darts_core.contracts import conform
import darts_core.remote
import darts_core.web
from darts_core.datasets import CHUNK
from darts_core.inference.geotiff import RasterError, blocks_of
from io_managers.base import StoreResource
from io_managers.cog import CogIOManager
from io_managers.zarr import ZarrIOManager

kind, root, side = sys.argv[1], sys.argv[2], int(sys.argv[3])
def megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
axes = {"y": 7e6 - (np.arange(side) + 0.5) * 2.5, "x": 4e5 + (np.arange(side) + 0.5) * 2.5}
array = (("y", "x"), da.full((side, side), np.nan, chunks=1024, dtype="float32"))
dataset = xr.Dataset({"red": array}, axes).rio.write_crs("EPSG:32608").rio.write_transform()
dataset = conform(dataset, "super_resolved", "nothing")
where = StoreResource(root=root)
manager = {"zarr": ZarrIOManager, "cog": CogIOManager}[kind](store=where)
before = megabytes()
with where.open().draft("asset", "partition", "v1") as draft:
    manager.write(draft, dataset if kind == "zarr" else blocks_of(dataset, "super_resolved"), "super_resolved")
    draft.commit()
written = megabytes()
read = manager.read(where.open().current("asset", "partition"), "super_resolved")
assert read.sizes["y"] == side and np.isnan(read["red"][-700:, :900].to_numpy()).all()
print(written - before, megabytes() - written)
"""


@pytest.mark.parametrize("kind", ["zarr", "cog"])
def test_neither_writing_nor_a_window_loads_a_raster_whole(kind: str, tmp_path: Path) -> None:
    side = 12_000
    command = [sys.executable, "-c", LARGE, kind, str(tmp_path), str(side)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    writing, reading = map(float, said.stdout.split())
    whole = side**2 * 4 / 2**20
    assert writing < whole / 2
    assert reading < whole / 5
