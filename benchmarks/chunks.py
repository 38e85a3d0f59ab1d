"""Which chunks serve a product best: pixels a side, with and without shards, two levels of zstd, on disk and on S3.

Writes a dataset like `preprocessed`, reads all of it, and reads one window of 700 x 700 pixels across the corner of
four chunks. Prints CPU seconds, megabytes and objects; then, through a server that answers after 20 ms, requests,
megabytes and wall seconds of the whole and of the window. The server shares the processors with the reader.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import numpy as np
import rioxarray  # noqa: F401  (registers the .rio accessor)
import xarray as xr
from scipy.ndimage import gaussian_filter
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.storage import FsspecStore

from darts_core.contracts import PRODUCTS, conform, encode
from darts_core.remote import filesystem, filesystem_options

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

VARIABLES = ("blue", "green", "red", "nir", "ndvi", "relative_elevation", "slope", "quality_data_mask")
CHOICES = ((256, None, 1), (512, None, 1), (1024, None, 1), (1024, None, 3), (2048, None, 1))
SHARDED = ((256, 2048, 1), (512, 4096, 1))
LATENCY = 0.02
WINDOW = 700


def main() -> None:
    """Measure every choice."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=4000, help="pixels a side of the dataset")
    parser.add_argument("--disk-only", action="store_true")
    arguments = parser.parse_args()
    dataset = encode(product(arguments.size), "preprocessed").load()
    print("chunk shard level | write; read all; window: CPU s | MB; objects | S3: window: requests, MB, s | all: s")
    with tempfile.TemporaryDirectory() as folder, dask.config.set(num_workers=2):
        for number, choice in enumerate((*CHOICES, *SHARDED)):
            path = Path(folder, f"{number}.zarr")
            said = on_disk(dataset, path, *choice)
            print(*choice, "|", said, "" if arguments.disk_only else f"| {on_s3(path)}", flush=True)


def product(size: int) -> xr.Dataset:
    """Fields that vary over 2 to 50 pixels, with noise of the sensor, in the range of each variable."""
    rng = np.random.default_rng(0)
    rows = {row.name: row for row in PRODUCTS["preprocessed"]}
    arrays = {}
    for name in VARIABLES:
        coarse = gaussian_filter(rng.standard_normal((size // 10 + 2,) * 2), 5).astype(np.float32)
        field = 5 * np.kron(coarse, np.ones((10, 10), np.float32))[:size, :size]
        field += gaussian_filter(rng.standard_normal((size, size), np.float32), 2, truncate=2) * 4
        field += 0.05 * rng.standard_normal((size, size), np.float32)
        low, high = rows[name].valid
        share = np.clip(0.3 + 0.1 * field, 0.0, 1.0)
        values = low + (high - low) * share
        arrays[name] = (("y", "x"), (values if rows[name].packed else np.round(share * 2)).astype(rows[name].memory))
    steps = (np.arange(size) + 0.5) * 3
    made = xr.Dataset(arrays, {"y": 7e6 - steps, "x": 5e5 + steps}, {"scene": "made up"}).rio.write_crs(32608)
    return conform(made.rio.write_transform(), "preprocessed", "made up")


def on_disk(dataset: xr.Dataset, path: Path, chunk: int, shard: int | None, level: int) -> str:
    """Write and read, and what it cost."""
    write = cpu(lambda: write_as(dataset, path, chunk, shard, level))
    whole = cpu(lambda: opened(path).load())
    window = cpu(lambda: opened(path).isel(**corner(chunk)).load())
    files = [file for file in path.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files) / 1e6
    return f"{write:.2f}; {whole:.2f}; {window:.2f} | {size:.1f}; {len(files)}"


def write_as(dataset: xr.Dataset, path: Path, chunk: int, shard: int | None, level: int) -> None:
    """As `darts_core.datasets.write_zarr` writes, with other chunks."""
    compressors = (BloscCodec(cname="zstd", clevel=level, shuffle="bitshuffle"), Crc32cCodec())
    encoding: dict[str, Any] = {}
    for name, array in dataset.data_vars.items():
        encoding[str(name)] = {"chunks": tuple(min(chunk, n) for n in array.shape), "compressors": compressors}
        if shard and array.ndim:
            encoding[str(name)]["shards"] = (shard, shard)
    lazily = dataset.chunk({"y": shard or chunk, "x": shard or chunk})
    lazily.drop_encoding().to_zarr(
        path, mode="w", zarr_format=3, consolidated=False, write_empty_chunks=True, encoding=encoding
    )


def on_s3(path: Path) -> str:
    """Put it there, and read it back through a server that takes its time."""
    from moto.server import ThreadedMotoServer
    from support.faulty_s3 import faulty

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with faulty(f"http://{host}:{port}", latency=LATENCY) as proxy:
        url = f"s3://{uuid.uuid4().hex}/product.zarr"
        options = {"endpoint_url": proxy.url}
        fs, _ = filesystem(url, {"endpoint_url": f"http://{host}:{port}"})
        fs.mkdir(url.rpartition("/")[0])
        fs.put(str(path), url, recursive=True)
        remote = FsspecStore.from_url(url, storage_options=filesystem_options(url, options), read_only=True)
        chunk = next(iter(opened(path).data_vars.values())).encoding["chunks"][0]
        dataset = opened(remote)
        proxy.seen.clear()
        proxy.sent = 0
        started = time.perf_counter()
        dataset.isel(**corner(chunk)).load()
        window = time.perf_counter() - started
        asked, sent = len(proxy.seen), proxy.sent / 1e6
        started = time.perf_counter()
        dataset.load()
        whole = time.perf_counter() - started
    server.stop()
    return f"{asked}, {sent:.1f}, {window:.2f} | {whole:.1f}"


def opened(store: Any) -> xr.Dataset:
    """The dataset as its steps read it."""
    return xr.open_zarr(store, consolidated=False, mask_and_scale=False, decode_coords="all", chunks={})


def corner(chunk: int) -> dict[str, slice]:
    """A window around the corner of four chunks."""
    middle = max(chunk, WINDOW)
    return {axis: slice(middle - WINDOW // 2, middle + WINDOW // 2) for axis in ("y", "x")}


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of some work."""
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    main()
