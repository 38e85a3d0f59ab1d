"""A PlanetScope tile of 4000 x 4000 pixels from delivery to polygons, phase by phase, beside what DARTS takes.

    python benchmarks/tile.py [--size 4000]

A synthetic scene of four bands at 3 m with its usable data mask, elevation and trends; two Unet-resnet34 models of 10
and 7 bands with random weights, patch 1024, overlap 256, float32. The verbs run one after the other in one process and
in memory, as DARTS does; the clock runs without imports and without loading the models. DARTS's own figures were
measured on such a machine and are not of this run. The tile and the models lie in `.bench/planet`.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
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
DARTS_PEAK, PEAK_BAR = 9.1, 2.0
"""Gigabytes."""


def main() -> None:
    """Make the tile where it is not there, run the phases, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=4000, help="rows and columns")
    size = parser.parse_args().size
    folder = prepared(size)
    measured = _phases(folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(f"{size} x {size} pixels, 3 m, 4 bands, two models\n")
    print(f"{'phase':<14}{'wall s':>8}{'CPU s':>8}{'bar':>8}{'DARTS':>8}{'ratio':>8}")
    for name, (wall, cpu) in measured.items():
        print(f"{name:<14}{wall:>8.1f}{cpu:>8.2f}{BARS[name]:>8}{DARTS[name]:>8}{cpu / DARTS[name]:>8.2f}")
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


def _phases(folder: Path) -> dict[str, tuple[float, float]]:
    """Wall and CPU seconds of each phase."""
    import xarray as xr

    from darts_core.auxiliary import AuxiliarySources
    from darts_core.ensemble import ensemble
    from darts_core.postprocessing import postprocess
    from darts_core.preprocessing.preprocess import preprocess
    from darts_core.scenes import find_scenes, read_scene
    from darts_core.segmentation.parameters import SegmentParameters
    from darts_core.vectors.polygons import Origin, vectorize

    (scene,) = find_scenes(str(folder / "scene")).scenes
    auxiliary = AuxiliarySources(
        dem=str(folder / "auxiliary" / "dem.tif"), trends=str(folder / "auxiliary" / "trends.tif")
    )
    segmenters = models(folder)
    parameters = SegmentParameters(patch_size=1024, overlap=256)
    measured: dict[str, tuple[float, float]] = {}

    def phase(name: str, work: Callable[[], Any]) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        measured[name] = time.perf_counter() - wall, time.process_time() - cpu
        return result

    raw = [phase("load", lambda: read_scene(scene).load())]  # in a list, so that nothing holds it afterwards
    prepared = phase("preprocess", lambda: preprocess(raw.pop(), auxiliary).load())
    probabilities = phase(
        "segment", lambda: xr.merge([one.inference(prepared, parameters=parameters) for one in segmenters])
    )
    mask = phase("postprocess", lambda: postprocess(ensemble(probabilities), prepared["quality_level"]).load())
    print(vectorize(mask, Origin.of(prepared.attrs), prepared["quality_level"]).describe())
    return measured


if __name__ == "__main__":
    main()
