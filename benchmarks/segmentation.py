"""Segmentation of a tile by two Unets beside the way DARTS does it: CPU seconds, peak memory, and equal logits.

    python benchmarks/segmentation.py [--size 4000] [--patches 2] [--whole]

Two Unet-resnet34 with 10 and 7 bands, patches of 1024 that share 256, fp32 and two threads. DARTS's way is the model
of segmentation-models-pytorch as it is, one patch at a time under `no_grad`, both threads on it. Patches are timed in
turn and the least of each is multiplied by the patches of the tile; `--whole` also runs `Segmenter.inference` over the
whole tile, in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

# before torch, for the way in which its threads wait is set there
from darts_core import contracts

if TYPE_CHECKING:
    import torch
    import xarray as xr

BANDS = ("blue", "green", "red", "nir", "ndvi", "relative_elevation", "slope")
TRENDS = ("tc_brightness", "tc_greenness", "tc_wetness")
MODELS = {"ten": (*BANDS, *TRENDS), "seven": BANDS}
PATCH, OVERLAP, THREADS = 1024, 256, 2
BAR = 125 / 177
"""What is asked for, over what DARTS takes."""


def main() -> None:
    """Time patches both ways, then the whole tile if that is asked for, and print both."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as folder:
        paths = _write_models(Path(folder))
        if options.whole_in:
            _print_whole(_write_models(Path(options.whole_in)), options.size)
            return
        theirs, ours = _by_patch(paths, options)
        print(f"{'DARTS':<34} {theirs:8.1f} CPU s, extrapolated")
        print(f"{'darts-assets':<34} {ours:8.1f} CPU s, extrapolated, {ours / theirs:.2f} of it (bar {BAR:.2f})")
        if options.whole:
            command = [sys.executable, __file__, "--size", str(options.size), "--whole-in", folder]
            done = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            print(
                f"{'darts-assets, whole tile':<34} {done['cpu']:8.1f} CPU s, {done['wall']:.1f} s, "
                f"peak {done['peak']:.2f} GB ({done['before']:.2f} GB with scene and models, before any patch)"
            )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=4000, help="Pixels a side of the tile")
    parser.add_argument("--patches", type=int, default=2, help="How often each patch is timed")
    parser.add_argument("--whole", action="store_true", help="Also run the whole tile; takes minutes")
    parser.add_argument("--folder", help="Where temporary files go")
    parser.add_argument("--whole-in", help=argparse.SUPPRESS)
    return parser.parse_args()


def _write_models(folder: Path) -> dict[str, Path]:
    """Checkpoints as DARTS writes them, with the statistics that a training would leave."""
    import torch

    from darts_core.segmentation.checkpoint import CheckpointConfig, build_model

    paths = {name: folder / f"{name}.pt" for name in MODELS}
    for name, path in paths.items():
        if path.exists():
            continue
        torch.manual_seed(0)
        model = {"arch": "Unet", "encoder_name": "resnet34", "in_channels": len(MODELS[name]), "classes": 1}
        network = build_model(CheckpointConfig(model=model, input_combination=list(MODELS[name])), "the benchmark")
        with torch.no_grad():
            network.train()(torch.rand(4, len(MODELS[name]), 128, 128))
        config = {"model": model, "bands": list(MODELS[name])}
        torch.save({"config": config, "statedict": network.state_dict()}, path)
    return paths


def _by_patch(paths: dict[str, Path], options: argparse.Namespace) -> tuple[float, float]:
    """CPU seconds of all patches of both models, DARTS's way and ours, from the fastest patch of each."""
    import torch

    from darts_core.segmentation.checkpoint import load_checkpoint, restore
    from darts_core.segmentation.segmenter import Segmenter
    from darts_core.windows import plan

    patches = len(plan(options.size, options.size, window=(PATCH, PATCH), overlap=OVERLAP))
    totals = [0.0, 0.0]
    for path in paths.values():
        network, segmenter = restore(load_checkpoint(path), path), Segmenter.load(path)
        inputs = torch.rand(1, len(segmenter.bands), PATCH, PATCH)
        last = inputs.contiguous(memory_format=torch.channels_last)
        best, logits = [float("inf")] * 2, [inputs, inputs]
        for _ in range(1 + options.patches):
            for way, (run, threads) in enumerate(((network, THREADS), (segmenter.module, 1))):
                seconds, logits[way] = _timed(run, last if way else inputs, threads)
                best[way] = min(best[way], seconds)
        print(
            f"{path.stem} bands: {best[0]:.2f} and {best[1]:.2f} CPU s a patch, {patches} patches; logits differ by "
            f"{float((logits[0] - logits[1]).abs().max()):.1e} of {float(logits[0].abs().max()):.1f}"
        )
        totals = [total + patches * one for total, one in zip(totals, best, strict=True)]
    return totals[0], totals[1]


def _timed(
    run: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor, threads: int
) -> tuple[float, torch.Tensor]:
    import torch

    torch.set_num_threads(threads)
    with torch.no_grad():
        before = time.process_time()
        made = run(inputs)
        return time.process_time() - before, made


def _print_whole(paths: dict[str, Path], size: int) -> None:
    import torch

    from darts_core.segmentation.parameters import SegmentParameters
    from darts_core.segmentation.segmenter import Segmenter

    torch.set_num_threads(THREADS)
    scene = _scene(size)
    models = [Segmenter.load(path) for path in paths.values()]
    before, cpu, wall = _peak(), time.process_time(), time.perf_counter()
    for model in models:
        model.inference(scene, None, SegmentParameters(patch_size=PATCH, overlap=OVERLAP))
    used = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    print(json.dumps({**used, "peak": _peak(), "before": before}))


def _peak() -> float:
    """Most resident memory so far, in GB; what `getrusage` gives would be the parent's, if that had more."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1e6


def _scene(size: int) -> xr.Dataset:
    """A scene that holds data in every pixel, in memory as a pipeline without files has it."""
    import numpy as np
    import rioxarray  # noqa: F401  (registers the .rio accessor)
    import xarray as xr

    rng = np.random.default_rng(0)
    rows = {row.name: row for row in contracts.PRODUCTS["preprocessed"]}
    drawn = {}
    for name in (*BANDS, *TRENDS):
        low, high = rows[name].valid
        drawn[name] = (
            ("y", "x"),
            (rng.random((size, size), np.float32) * (high - low) + low).astype(rows[name].memory),
        )
    axes = {"y": 7_600_000 - 3.0 * np.arange(size), "x": 500_000 + 3.0 * np.arange(size)}
    masks = {"valid_data_mask": (("y", "x"), np.ones((size, size), bool))}
    return xr.Dataset({**drawn, **masks}, axes).rio.write_crs(32608)


if __name__ == "__main__":
    main()
