"""Super-resolution of a whole scene beside opensr-utils: time, CPU, memory, bytes and temporary disk, in one run.

    python benchmarks/super_resolution.py [--size 4000] [--peer 2.0.0] [--without-peer]

A synthetic scene of four uint16 bands, factor 4, windows of 128 with an overlap of 8. Each measurement is a process of
its own; the clock runs from the opened file to the finished raster, without imports. opensr-utils is installed from
the package index into `.bench/`. Temporary disk is what lies in the folders; the mosaic's own temporary file has no
name and is counted in README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

FACTOR, WINDOW, OVERLAP = 4, 128, 8
BARS = {
    "bicubic, direct": ("opensr bicubic", 0.32),
    "bicubic, shards, then mosaic": ("opensr bicubic", 0.45),
    "convolution, direct": ("opensr convolution", 0.52),
    "bicubic, COG with zstd and overviews": ("opensr bicubic", 0.6),
}


def main() -> None:
    """Run everything and print one table."""
    options = _options()
    if options.task:
        print(json.dumps(_measured(options)))
        return
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as folder:
        scene = Path(folder, "scene.tif")
        _make_scene(scene, options.size)
        rows = {}
        if not options.without_peer:
            peer = _peer(options.peer)
            for model in ("bicubic", "convolution"):
                rows[f"opensr {model}"] = _run(peer, f"opensr:{model}", scene, options.size)
        for name in (
            "bicubic, direct",
            "bicubic of torch, direct",
            "bicubic, shards, then mosaic",
            "bicubic, COG with zstd and overviews",
            "convolution, direct",
        ):
            rows[name] = _run(Path(sys.executable), f"ours:{name}", scene, options.size)
    _print(rows, options.size)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=4000, help="rows and columns of the scene")
    parser.add_argument("--peer", default="2.0.0", help="version of opensr-utils")
    parser.add_argument("--without-peer", action="store_true")
    parser.add_argument("--folder", help="where scene and outputs lie while it runs; by default the temporary folder")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument("--scene", help=argparse.SUPPRESS)
    return parser.parse_args()


def _make_scene(path: Path, size: int) -> None:
    """Smooth hills with fine texture, as uint16 reflectance * 10000, tiled, not compressed."""
    import numpy as np
    import rasterio
    from rasterio.transform import from_origin

    rng = np.random.default_rng(7)
    profile = {
        "driver": "GTiff",
        "width": size,
        "height": size,
        "count": 4,
        "dtype": "uint16",
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "crs": "EPSG:32608",
        "transform": from_origin(5e5, 7.5e6, 10, 10),
    }
    with rasterio.open(path, "w", **profile) as target:
        target.descriptions = ("blue", "green", "red", "nir")
        target.scales = (1e-4,) * 4
        x = np.arange(size)
        for band in range(4):
            hills = 1500 + 600 * np.sin(x[:, None] / 97 + band) * np.cos(x[None, :] / 61)
            target.write((hills + rng.normal(0, 60, (size, size))).astype(np.uint16), band + 1)


def _peer(version: str) -> Path:
    """The Python of an environment that has opensr-utils; made on first use."""
    home = Path(".bench", f"opensr-utils-{version}").absolute()
    python = home / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", f"opensr-utils=={version}"], check=True)
    return python


def _run(python: Path, task: str, scene: Path, size: int) -> dict[str, float]:
    """One measurement in its own process and folder; the folder is watched for what lies there at most."""
    folder = scene.parent / "work"
    folder.mkdir()
    own = folder / scene.name
    os.link(scene, own)
    command = [str(python), __file__, "--task", task, "--scene", str(own), "--size", str(size)]
    peak, stop = [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.1):
            sizes = []
            for path in folder.rglob("*"):
                try:
                    sizes.append(path.lstat().st_blocks * 512 if path.is_file() else 0)
                except FileNotFoundError:
                    continue
            peak[0] = max(peak[0], sum(sizes))

    watcher = threading.Thread(target=watch)
    watcher.start()
    environment = {**os.environ, "TMPDIR": str(folder)}
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    finally:
        stop.set()
        watcher.join()
    if done.returncode:
        raise SystemExit(f"{task} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    result = json.loads(done.stdout.strip().splitlines()[-1])
    result["temporary"] = peak[0] - own.stat().st_size - result["output"] - result["shards"]
    shutil.rmtree(folder)
    return result


def _measured(options: argparse.Namespace) -> dict[str, float]:
    side, _, name = options.task.partition(":")
    scene = Path(options.scene)
    prepared, forward = _peer_task(scene, name) if side == "opensr" else _our_task(scene, name)
    before, started, cpu = _rss(), time.perf_counter(), _cpu()
    output, shards = prepared()
    seconds, used, peak = time.perf_counter() - started, _cpu() - cpu, _rss(peak=True)
    written = int(Path("/proc/self/io").read_text().split("wchar: ")[1].split()[0])
    cpu = _cpu()
    forward()
    return {
        "seconds": seconds,
        "cpu": used,
        "forward": _cpu() - cpu,
        "before": before,
        "peak": peak,
        "written": written,
        "output": output.stat().st_size,
        "shards": shards,
    }


def _our_task(scene: Path, name: str):  # type: ignore[no-untyped-def]
    import torch

    from darts_core.inference.device import resolve_device
    from darts_core.inference.geotiff import write_cog, write_geotiff
    from darts_core.inference.shards import ShardSet
    from darts_core.superresolution import stitch, super_resolve, super_resolve_patches
    from darts_core.superresolution.inputs import open_input
    from darts_core.superresolution.parameters import SuperResolveParameters
    from darts_core.superresolution.running import forward_on
    from darts_core.superresolution.upscalers import load_upscaler, upscaler_of

    bands = ("blue", "green", "red", "nir")
    if name.startswith("convolution"):
        upscaler = upscaler_of(_convolution(), factor=FACTOR, bands=bands, reach=3, name="convolution")
    elif "torch" in name:
        upscaler = upscaler_of(_bicubic(), factor=FACTOR, bands=bands, reach=2, name="bicubic of torch")
    else:
        upscaler = load_upscaler("bicubic")
    parameters = SuperResolveParameters(window=WINDOW, overlap=OVERLAP)
    output, patches = Path("result.tif"), Path("patches")

    def run() -> tuple[Path, int]:
        dataset = open_input(scene).dataset
        if "shards" not in name:
            stream = super_resolve(dataset, upscaler, parameters)
            (write_cog if "COG" in name else write_geotiff)(stream, output)
            return output, 0
        patches.mkdir()
        super_resolve_patches(dataset, upscaler, parameters, patches, lambda part: None)
        write_geotiff(stitch(ShardSet.open(patches), dataset), output)
        return output, sum(path.stat().st_blocks * 512 for path in patches.rglob("*") if path.is_file())

    def forward() -> None:
        torch.set_num_threads(1)  # as the engine runs it: a window on each core
        call = forward_on(upscaler, resolve_device("cpu"))
        with torch.inference_mode():
            for _ in range(_windows(scene)):
                call(torch.rand(1, 4, WINDOW, WINDOW).to(memory_format=torch.channels_last))

    return run, forward


def _peer_task(scene: Path, name: str):  # type: ignore[no-untyped-def]
    import torch
    from opensr_utils.pipeline import large_file_processing

    module = _convolution() if name == "convolution" else _bicubic()
    batch = 16

    def run() -> tuple[Path, int]:
        done = large_file_processing(
            root=str(scene),
            model=module,
            window_size=(WINDOW, WINDOW),
            factor=FACTOR,
            overlap=OVERLAP,
            device="cpu",
            batch_size=batch,
            num_workers=0,
        )
        if hasattr(done, "run"):
            done.run()
        return Path(done.final_sr_path), 0

    def forward() -> None:
        with torch.inference_mode():
            for _ in range(-(-_windows(scene) // batch)):
                module(torch.rand(batch, 4, WINDOW, WINDOW))

    return run, forward


def _bicubic():  # type: ignore[no-untyped-def]
    from torch import nn

    return nn.Upsample(scale_factor=FACTOR, mode="bicubic").eval()


def _convolution():  # type: ignore[no-untyped-def]
    import torch
    from torch import nn

    torch.manual_seed(0)
    layers = (
        nn.Conv2d(4, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 4 * FACTOR**2, 3, padding=1),
        nn.PixelShuffle(FACTOR),
    )
    return nn.Sequential(*layers).eval()


def _windows(scene: Path) -> int:
    import rasterio

    with rasterio.open(scene) as source:
        return (-(-(source.height - OVERLAP) // (WINDOW - OVERLAP))) * (
            -(-(source.width - OVERLAP) // (WINDOW - OVERLAP))
        )


def _cpu() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _rss(*, peak: bool = False) -> float:
    """Bytes of this process in memory."""
    if peak:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _print(rows: dict[str, dict[str, float]], size: int) -> None:
    print(f"{size} x {size} pixels, 4 bands, factor {FACTOR}, window {WINDOW}, overlap {OVERLAP}\n")
    head = (
        "run",
        "seconds",
        "ratio",
        "bar",
        "CPU s",
        "CPU s but forward",
        "peak MB",
        "above imports MB",
        "written / output",
        "temporary MB",
        "output MB",
    )
    print(" | ".join(head))
    for name, row in rows.items():
        peer, bar = BARS.get(name, ("", 0.0))
        ratio = f"{row['seconds'] / rows[peer]['seconds']:.2f}" if peer in rows else ""
        cells = (
            name,
            f"{row['seconds']:.1f}",
            ratio,
            f"{bar}" if bar else "",
            f"{row['cpu']:.1f}",
            f"{row['cpu'] - row['forward']:.1f}",
            f"{row['peak'] / 1e6:.0f}",
            f"{(row['peak'] - row['before']) / 1e6:.0f}",
            f"{row['written'] / row['output']:.2f}",
            f"{row['temporary'] / 1e6:.0f}",
            f"{row['output'] / 1e6:.0f}",
        )
        print(" | ".join(cells))
    if "opensr bicubic" in rows and "bicubic, direct" in rows:
        ours, theirs = rows["bicubic, direct"], rows["opensr bicubic"]
        share = (ours["cpu"] - ours["forward"]) / (theirs["cpu"] - theirs["forward"])
        print(f"\nCPU s but the model's forward, bicubic direct over opensr-utils: {share:.2f} (bar 0.2)")


if __name__ == "__main__":
    main()
