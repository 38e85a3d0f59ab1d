"""A PlanetScope tile of 4000 x 4000 pixels from delivery to polygons, phase by phase, beside what DARTS takes.

    python benchmarks/tile.py [--size 4000] [--files]

A synthetic scene of four bands at 3 m with its usable data mask, elevation and trends; two Unet-resnet34 models of 10
and 7 bands with random weights, patch 1024, overlap 256, float32. The verbs run one after the other in one process: in
memory, as DARTS does, or with --files from file to file, as the assets do. The clock runs without imports and without
loading the models. DARTS's own figures were measured on such a machine and are not of this run. The tile and the models
lie in `.bench/planet`.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

FOLDER = Path(".bench", "planet").absolute()
BANDS = {
    "ten": (
        *("red", "green", "blue", "nir", "ndvi", "relative_elevation", "slope"),
        *("tc_brightness", "tc_greenness", "tc_wetness"),
    ),
    "seven": ("red", "green", "blue", "nir", "ndvi", "relative_elevation", "slope"),
}
DARTS = {"load": 1.6, "preprocess": 50.3, "segment": 177.0, "postprocess": 4.0, "export": 2.2}
"""CPU seconds."""
BARS = {"load": 1.0, "preprocess": 4.0, "segment": 125.0, "postprocess": 0.8, "export": 1.2}
Phase = Callable[[str, Callable[[], Any]], Any]
"""Does some work and adds what it took to a phase."""
DARTS_PEAK, PEAK_BAR = 9.1, 2.0
"""Gigabytes."""


def main() -> None:
    """Make the tile where it is not there, run the phases, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=4000, help="rows and columns")
    parser.add_argument("--files", action="store_true", help="through files, as the assets do it, not in memory")
    options = parser.parse_args()
    size = options.size
    folder = prepared(size)
    measured = _phases(folder, files=options.files)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(f"{size} x {size} pixels, 3 m, 4 bands, two models\n")
    print(f"{'phase':<14}{'wall s':>8}{'CPU s':>8}{'bar':>8}{'DARTS':>8}{'ratio':>8}")
    for name, (wall, cpu) in measured.items():
        row = f"{name:<14}{wall:>8.1f}{cpu:>8.2f}"
        print(f"{row}{BARS[name]:>8}{DARTS[name]:>8}{cpu / DARTS[name]:>8.2f}" if name in BARS else row)
    print(f"{'peak GB':<14}{'':>8}{peak:>8.2f}{PEAK_BAR:>8}{DARTS_PEAK:>8}{peak / DARTS_PEAK:>8.2f}")


def prepared(size: int) -> Path:
    """The folder of a tile; drawn where it is not there."""
    folder = FOLDER / str(size)
    if not (folder / "models").is_dir():
        # a process of its own: what drawing the tile needs of memory is not the tile's
        if os.fork() == 0:
            _prepare(folder, size)
            os._exit(0)
        if os.wait()[1]:
            raise SystemExit("The tile could not be drawn")
    return folder


def models(folder: Path) -> list[Any]:
    """The models of a tile, loaded."""
    from darts_core.segmentation import Segmenter

    return [Segmenter.load(path) for path in sorted((folder / "models").glob("*.pt"))]


def _prepare(folder: Path, size: int) -> None:
    """Draw the tile, and make the models."""
    import torch

    from darts_core.segmentation.checkpoint import CheckpointConfig, build_model, save_checkpoint
    from darts_core.synthetic.auxiliary import write_auxiliary
    from darts_core.synthetic.landscape import make_landscape
    from darts_core.synthetic.planet import PIXEL, write_planet_order

    shutil.rmtree(folder, ignore_errors=True)
    west, south, side = 498_000.0, 7_476_000.0, size * PIXEL
    bounds = (west, south, west + side, south + side)
    margin = 1000
    landscape = make_landscape(7, (west - margin, south - margin, bounds[2] + margin, bounds[3] + margin))
    write_planet_order(folder / "scene", landscape, bounds, datetime(2023, 8, 3, 20, 30, tzinfo=UTC), seed=7)
    write_auxiliary(folder / "auxiliary", landscape, bounds, seed=7)
    made = folder / "models.part"
    made.mkdir()
    torch.manual_seed(0)
    for name, bands in BANDS.items():
        model = {"arch": "Unet", "encoder_name": "resnet34", "in_channels": len(bands), "classes": 1}
        config = CheckpointConfig(model=model, input_combination=list(bands), patch_size=1024, name=name)
        network = build_model(config, name).eval()
        _make_rare(network, len(bands))
        save_checkpoint(network, config, made / f"{name}.pt")
    made.rename(folder / "models")


def _make_rare(network: Any, channels: int) -> None:
    """Shift the logits so that about one pixel in a hundred is above a half, as slumps are."""
    import torch

    with torch.inference_mode():
        logits = network(torch.rand(1, channels, 512, 512))
    with torch.no_grad():
        network.segmentation_head[0].bias -= logits.flatten().quantile(0.99)


def _phases(folder: Path, *, files: bool) -> dict[str, tuple[float, float]]:
    """Wall and CPU seconds of each phase."""
    from darts_core.auxiliary import AuxiliarySources
    from darts_core.scenes import find_scenes

    (scene,) = find_scenes(str(folder / "scene")).scenes
    auxiliary = AuxiliarySources(dem=str(folder / "auxiliary/dem.tif"), trends=str(folder / "auxiliary/trends.tif"))
    measured: dict[str, tuple[float, float]] = {}

    def phase(name: str, work: Callable[[], Any]) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        spent = time.perf_counter() - wall, time.process_time() - cpu
        measured[name] = tuple(map(sum, zip(spent, measured.get(name, (0.0, 0.0)), strict=True)))
        return result

    with tempfile.TemporaryDirectory(prefix="tile-") as name:
        (_through_files if files else _in_memory)(phase, scene, auxiliary, models(folder), Path(name))
    return measured


def _in_memory(phase: Phase, scene: Any, auxiliary: Any, segmenters: list[Any], out: Path) -> None:
    """As DARTS does it: each product whole in memory, the last ones exported."""
    import xarray as xr

    from darts_core.ensemble import ensemble
    from darts_core.exports import SceneProducts, export
    from darts_core.postprocessing import postprocess
    from darts_core.preprocessing.preprocess import preprocess
    from darts_core.scenes import read_scene
    from darts_core.vectors.polygons import Origin, vectorize

    corner = {"y": slice(256), "x": slice(256)}
    preprocess(read_scene(scene).isel(corner), auxiliary).load()  # imports what is imported on first use
    raw = [phase("load", lambda: read_scene(scene).load())]  # in a list, so that nothing holds it later
    dataset = phase("preprocess", lambda: preprocess(raw.pop(), auxiliary).load())
    probabilities = phase("segment", lambda: xr.merge([one.inference(dataset) for one in segmenters]))
    quality, origin = dataset["quality_level"], Origin.of(dataset.attrs)
    combined = phase("ensemble", lambda: ensemble(probabilities))
    mask = phase("postprocess", lambda: postprocess(combined, quality).load())
    slumps = phase("vectorize", lambda: vectorize(mask, origin, quality))
    products = SceneProducts(origin, mask, slumps, preprocessed=dataset)
    phase("export", lambda: export(products, out))


def _through_files(phase: Phase, scene: Any, auxiliary: Any, segmenters: list[Any], out: Path) -> None:
    """As the assets and commands do it: each product flows into its file, and the next step reads what it needs."""
    from darts_core.ensemble import ensemble
    from darts_core.exports import SceneProducts, export
    from darts_core.files import read_product, read_rasters, write_product
    from darts_core.inference.geotiff import write_cog
    from darts_core.postprocessing import postprocess
    from darts_core.preprocessing.preprocess import preprocess
    from darts_core.scenes import read_scene
    from darts_core.vectors.polygons import Origin, vectorize

    prepared, rasters = out / "preprocessed.zarr", [out / f"{one.name}.tif" for one in segmenters]
    corner = {"y": slice(256), "x": slice(256)}
    preprocess(read_scene(scene).isel(corner), auxiliary).load()  # imports what is imported on first use
    raw = phase("load", lambda: read_scene(scene))
    phase("preprocess", lambda: write_product(preprocess(raw, auxiliary), prepared, "preprocessed"))
    dataset = read_product(prepared, "preprocessed")
    for one, raster in zip(segmenters, rasters, strict=True):
        phase("segment", partial(lambda one, raster: write_cog(one.stream(dataset), raster), one, raster))
    mean = out / "ensemble.tif"
    phase("ensemble", lambda: write_product(ensemble(read_rasters(rasters, "segmentation")), mean, "ensemble"))
    quality, origin = dataset["quality_level"], Origin.of(dataset.attrs)
    made = out / "mask.tif"
    phase(
        "postprocess",
        lambda: write_product(postprocess(read_product(mean, "ensemble"), quality), made, "postprocessed"),
    )
    mask = read_product(made, "postprocessed")
    slumps = phase("vectorize", lambda: vectorize(mask, origin, quality))
    phase("export", lambda: export(SceneProducts(origin, mask, slumps, preprocessed=dataset), out))


if __name__ == "__main__":
    main()
