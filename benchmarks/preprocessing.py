"""What preprocessing costs: a scene of 4000 x 4000 pixels of 3 m and 4 bands, with a DEM of 10 m and trends of 30 m.

Prints CPU seconds, which are steadier than wall time on a shared machine, of each phase by itself, of the verb with
DARTS's own features in memory, and through the store as the asset does it (raw scene read from Zarr, product written
as Zarr); then of every other feature beside the reading of what it is made from; and the peak memory of the process.
DARTS's own features take DARTS 50.3 CPU s on such a machine.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import rasterio
import rioxarray  # noqa: F401  (registers the .rio accessor)
import xarray as xr
from affine import Affine
from pyproj import Transformer
from rasterio.crs import CRS

from darts_core.auxiliary import AuxiliarySources, read_dem, read_trends
from darts_core.contracts import INDICES, TERRAIN, encode
from darts_core.datasets import GROUP, open_zarr, write_zarr
from darts_core.grids import Grid
from darts_core.preprocessing.parameters import PreprocessParameters
from darts_core.preprocessing.preprocess import preprocess
from darts_core.store import Store

DARTS_SECONDS = 50.3
EPSG, LEFT, TOP, PIXEL = 32608, 513_000, 7_702_000, 3


def main() -> None:
    """Measure, phase by phase."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=4000, help="pixels a side of the scene")
    size = parser.parse_args().size
    with tempfile.TemporaryDirectory() as folder, dask.config.set(num_workers=2):
        sources = AuxiliarySources(str(dem_file(Path(folder), size)), str(trends_file(Path(folder), size)))
        raw = raw_scene(Store(f"{folder}/products"), size)
        grid, chunks = Grid.of(raw), raw["red"].chunks
        consume(preprocess(raw.isel(y=slice(0, 512), x=slice(0, 512)), sources))  # imports, and the files in the cache
        product = preprocess(raw, sources)
        measured("raw scene, read", raw)
        measured("DEM, read and warped", read_dem(sources.dem or "", grid, 100, chunks).to_dataset(name="dem"))
        measured("trends, read and warped", read_trends(sources.trends or "", grid, chunks))
        measured("relative elevation and slope, reading included", product[["relative_elevation", "slope"]])
        measured("reflectance, ndvi and masks, reading included", preprocess(raw))
        whole = measured("DARTS's own features, in memory", product)
        measured("DARTS's own features, as codes", encode(product, "preprocessed"))
        started = time.process_time()
        write_zarr(encode(preprocess(raw, sources), "preprocessed"), Path(folder) / GROUP)
        stored = time.process_time() - started
        print(f"{'DARTS own features, through the store':52}{stored:8.2f}")
        print(f"over DARTS: {whole / DARTS_SECONDS:.3f} in memory, {stored / DARTS_SECONDS:.3f} through the store")
        print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
        for name in (row.name for row in (*TERRAIN, *INDICES)):
            measured(name, only(raw, sources, name))
        print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def only(raw: xr.Dataset, sources: AuxiliarySources, name: str) -> xr.Dataset:
    """One feature and what it is made from."""
    return preprocess(raw, sources, PreprocessParameters(features=[name]))[[name]]


def measured(phase: str, dataset: xr.Dataset) -> float:
    """Compute a dataset block by block, print and give the CPU seconds."""
    started = time.process_time()
    consume(dataset)
    seconds = time.process_time() - started
    print(f"{phase:52}{seconds:8.2f}")
    return seconds


class Nowhere:
    """Where blocks go."""

    def __setitem__(self, place: Any, block: np.ndarray) -> None:
        """Forget a block."""


def consume(dataset: xr.Dataset) -> None:
    """Compute every block and keep none."""
    arrays: Iterable[Any] = [array.data for array in dataset.data_vars.values()]
    da.store(list(arrays), [Nowhere() for _ in dataset.data_vars], lock=False)


def raw_scene(store: Store, size: int) -> xr.Dataset:
    """A scene of random digital numbers, stored as `raw_scene` is."""
    rng = np.random.default_rng(2)
    attrs = {"scale_factor": 1e-4, "add_offset": 0.0, "_FillValue": np.uint16(0)}
    names = ("blue", "green", "red", "nir")
    bands = {name: (("y", "x"), rng.integers(200, 4000, (size, size), dtype="uint16"), attrs) for name in names}
    steps = (np.arange(size) + 0.5) * PIXEL
    scene = xr.Dataset(bands, {"y": TOP - steps, "x": LEFT + steps}, {"scene": "made up"}).rio.write_crs(EPSG)
    with store.draft("raw_scene", "scene", "v1") as draft:
        write_zarr(scene, draft.folder / GROUP)
        return open_zarr(draft.commit(), GROUP)


def dem_file(folder: Path, size: int) -> Path:
    """Hills with noise, in the projection of ArcticDEM, at 10 m."""
    height, width, transform = extent(size, 3413, 10)
    y, x = np.mgrid[:height, :width].astype("float32")
    noise = np.random.default_rng(0).normal(0, 1, (height, width))
    hills = (300 + 60 * np.sin(x / 90) * np.cos(y / 70) + noise).astype("float32")
    path = folder / "dem.tif"
    with rasterio.open(path, "w", **profile(hills[None], 3413, transform), nodata=-9999) as raster:
        raster.write(hills, 1)
    return path


def trends_file(folder: Path, size: int) -> Path:
    """Noise in degrees, at about 30 m."""
    height, width, transform = extent(size, 4326, 0.00026949458523585647)
    values = np.random.default_rng(1).integers(80, 170, (3, height, width)).astype("uint8")
    path = folder / "trends.tif"
    with rasterio.open(path, "w", **profile(values, 4326, transform)) as raster:
        raster.write(values)
        raster.descriptions = ("TCB_slope", "TCG_slope", "TCW_slope")
    return path


def extent(size: int, epsg: int, pixel: float) -> tuple[int, int, Affine]:
    """Rows, columns and transform of a raster that holds the scene with a margin."""
    into = Transformer.from_crs(EPSG, epsg, always_xy=True)
    side = size * PIXEL
    left, bottom, right, top = into.transform_bounds(LEFT - 500, TOP - side - 500, LEFT + side + 500, TOP + 500)
    return int((top - bottom) / pixel), int((right - left) / pixel), Affine(pixel, 0, left, 0, -pixel, top)


def profile(values: np.ndarray, epsg: int, transform: Affine) -> dict[str, Any]:
    """A tiled, deflated GeoTIFF of `values` (bands, y, x)."""
    count, height, width = values.shape
    return {
        "driver": "GTiff",
        "count": count,
        "height": height,
        "width": width,
        "dtype": values.dtype,
        "crs": CRS.from_epsg(epsg),
        "transform": transform,
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "compress": "deflate",
    }


if __name__ == "__main__":
    main()
