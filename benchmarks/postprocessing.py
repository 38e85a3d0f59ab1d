"""Postprocessing, polygons and exports of one scene: CPU seconds and memory.

A scene of 4000 x 4000 pixels of 3 m with about 900 slumps, clouds and a cut corner. Each verb runs twice and the second
counts, as the first pays for imports. The peak is that of Python's and NumPy's memory beyond the scene itself, taken
in a third run; the lazy figures are for the same scene in a Zarr group, from reading it to the finished COG. Each case
has a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from scipy import ndimage

from darts_core.exports import SceneProducts, export
from darts_core.grids import Grid
from darts_core.inference.geotiff import blocks_of, write_cog
from darts_core.postprocessing import postprocess
from darts_core.vectors.polygons import Origin, vectorize

SIDE = 4000
BARS = {"postprocess": 0.8, "vectorize": None, "export of 5 products": 1.2, "postprocess, lazy, into a COG": None}
ORIGIN = Origin("bench", "08WMA", "2021-08-21T21:00:19Z", "PS2", ("aa",), "v1")


def scene() -> xr.Dataset:
    """`probabilities`, `quality_level` and the colours of a thumbnail, axes (y, x)."""
    from affine import Affine
    from rasterio.crs import CRS

    generator = np.random.default_rng(0)

    def smooth(coarse: int) -> np.ndarray:
        nodes = generator.normal(size=(SIDE // coarse + 3,) * 2).astype(np.float32)
        return ndimage.zoom(nodes, coarse, order=1)[:SIDE, :SIDE]

    ground, clouds = smooth(20) + 0.5 * smooth(60), smooth(200)
    quality = np.where(clouds > 1.8, 0, np.where(clouds > 1.2, 1, 2)).astype(np.uint8)
    rows, columns = np.ogrid[:SIDE, :SIDE]
    quality[rows + columns < SIDE // 5] = 0
    steep = 4 * (ground - np.quantile(ground[::7, ::7], 0.99))
    probabilities = np.where(quality > 0, 1 / (1 + np.exp(-steep)), np.nan).astype(np.float32)
    layers = {"probabilities": probabilities, "quality_level": quality}
    layers |= {name: np.clip(0.1 + 0.02 * ground * part, 0, 1) for part, name in enumerate(("blue", "green", "red"), 1)}
    grid = Grid(CRS.from_epsg(32608), Affine(3, 0, 513_000, 0, -3, 7_702_000), SIDE, SIDE)
    return xr.Dataset({name: (("y", "x"), values) for name, values in layers.items()}, grid.coordinates())


def cases(folder: Path) -> dict[str, Callable[[], Any]]:
    """What is measured, by name; what each is made from exists before."""
    made = scene()
    ensembled, quality = made[["probabilities"]], made["quality_level"]

    def lazily() -> None:
        stored = xr.open_zarr(folder / "scene.zarr", chunks={}, decode_coords="all", consolidated=False)
        product = postprocess(stored[["probabilities"]], stored["quality_level"])
        write_cog(blocks_of(product, "postprocessed"), folder / "mask.tif")

    if not (folder / "scene.zarr").exists():
        chunked = made[["probabilities", "quality_level"]].chunk({"y": 1024, "x": 1024})
        chunked.to_zarr(folder / "scene.zarr", consolidated=False, zarr_format=3)
    mask = postprocess(ensembled, quality)
    products = SceneProducts(ORIGIN, mask, vectorize(mask, ORIGIN, quality), preprocessed=made)
    return {
        "postprocess": lambda: postprocess(ensembled, quality),
        "vectorize": lambda: vectorize(mask, ORIGIN, quality),
        "export of 5 products": lambda: export(products, folder / "out"),
        "postprocess, lazy, into a COG": lazily,
    }


def measure(name: str, folder: Path) -> None:
    """Print CPU seconds and MB of one case."""
    run = cases(folder)[name]
    run()
    started = time.process_time()
    run()
    used = time.process_time() - started
    tracemalloc.start()
    run()
    _, peak = tracemalloc.get_traced_memory()
    bar = BARS[name]
    print(f"{name}: {used:.2f} s CPU{f' (bar {bar})' if bar else ''}, {peak / 1e6:.0f} MB", flush=True)


def main() -> None:
    """Measure every case, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        for name in BARS:
            subprocess.run([sys.executable, __file__, name, folder], check=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1], Path(sys.argv[2]))
    else:
        main()
