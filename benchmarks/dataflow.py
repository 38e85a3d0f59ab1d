"""Feeding a device: items a second beside a torch DataLoader, the seconds of a stop, and what feeding costs in CPU.

    python benchmarks/dataflow.py [--items 400] [--rounds 5]

Throughput: an item is 4 MB of new random float32, (4, 512, 512), made by two workers and handed to a consumer that
does nothing but look at one pixel. Every peer may work or hold four items ahead. The clock runs from the first item to
the last; CPU is that of all processes, both without start and imports. Preprocessing: an item is a 512 x 512 window of
four bands of the Flanders scene, read with rasterio and put through `preprocess`, in two threads beside a plain loop.
Every figure is the best of the rounds.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from darts_core.dataflow import PoolStep, ProcessStep, Queue, Sequence, describe_flow

SHAPE = (4, 512, 512)
WORKERS = 2
START = 20
"""Items of a short run, which is subtracted: what start and imports cost."""
BAR, CPU_BAR = 265, 1.1
QUEUEFLOW = 80
"""Items of 4 MB a second that queueflow was measured at elsewhere, with two workers; it is on no package index."""
FLANDERS = Path(__file__).resolve().parents[2] / "shared" / "data" / "sentinel2_flanders" / "atmocorr"


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    throughput(options.items, options.rounds)
    stops()
    cost_of_preprocessing(options.rounds)


def throughput(items: int, rounds: int) -> None:
    feeds: dict[str, Callable[[int], Iterable[Any]]] = {
        "threads": lambda count: flow(PoolStep(make, WORKERS), range(count)),
        "processes": lambda count: flow(ProcessStep(make, WORKERS), range(count)),
        "DataLoader": loader,
        "inline": lambda count: map(make, range(count)),
    }
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in feeds}
    for _ in range(rounds):
        for name, feed in feeds.items():
            (_, start), (rate, whole) = measured(feed(START)), measured(feed(items))
            figures[name].append((rate, 1000 * (whole - start) / (items - START)))
    print(f"items of 4 MB, {WORKERS} workers (bar {BAR}/s; queueflow elsewhere {QUEUEFLOW}/s)")
    for name, rows in figures.items():
        print(f"  {name:<11} {max(rate for rate, _ in rows):6.0f}/s {min(cpu for _, cpu in rows):6.2f} ms CPU each")


def make(number: int) -> np.ndarray:
    """An item, float32 (4, 512, 512)."""
    return np.random.default_rng(number).random(SHAPE, dtype=np.float32)


def flow(step: PoolStep | ProcessStep, items: Iterable[Any]) -> Iterator[Any]:
    sequence = Sequence(step, Queue(2))
    sequence.queue_iterable(items)
    return iter(sequence)


class Items:
    """The same items, as torch asks for them."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> Any:
        import torch

        return torch.from_numpy(make(number))


def loader(count: int) -> Iterable[Any]:
    from torch.utils.data import DataLoader

    return DataLoader(Items(count), batch_size=None, num_workers=WORKERS, prefetch_factor=2)  # type: ignore[arg-type]


def measured(feed: Iterable[Any]) -> tuple[float, float]:
    """Items a second, from the first one to the last, and CPU seconds of all processes, from start to end."""
    before, started, count = cpu_seconds(), None, -1
    for item in feed:
        started = started or time.perf_counter()
        float(item[0, 0, 0])
        count += 1
    assert started is not None
    return count / (time.perf_counter() - started), cpu_seconds() - before


def cpu_seconds() -> float:
    """Of this process and of those that it started and that ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def stops() -> None:
    print("seconds that a stop in the midst takes (bar 1; queueflow elsewhere 4.3)")
    for name, step in (("threads", PoolStep(make, WORKERS)), ("processes", ProcessStep(make, WORKERS))):
        taken = []
        for _ in range(5):
            running = flow(step, iter(int, 1))
            for _ in range(10):
                next(running)
            started = time.perf_counter()
            del running
            taken.append(time.perf_counter() - started)
        print(f"  {name:<11} {sum(taken) / len(taken):6.2f}, at most {max(taken):.2f}")


def cost_of_preprocessing(rounds: int, items: int = 40) -> None:
    if not FLANDERS.is_dir():
        print(f"CPU of preprocessing: not measured, for {FLANDERS.parent.name} does not lie beside the checkout")
        return
    starts = [number * 512 // items for number in range(items)]
    cpu: dict[str, list[float]] = {"inline": [], "fed": []}
    list(map(read_window, starts[:2]))
    for _ in range(rounds):
        cpu["inline"].append(consumed(map(read_window, starts)))
        sequence = Sequence(PoolStep(read_window, WORKERS), Queue(2))
        sequence.queue_iterable(starts)
        cpu["fed"].append(consumed(sequence))
    inline, fed = min(cpu["inline"]), min(cpu["fed"])
    print(f"CPU of preprocessing an item: inline {1000 * inline / items:.1f} ms, fed {1000 * fed / items:.1f} ms")
    print(f"  ratio       {fed / inline:6.2f} (bar {CPU_BAR})")
    print(describe_flow(sequence.flowstatus()))


def consumed(feed: Iterable[Any]) -> float:
    """CPU seconds."""
    before = cpu_seconds()
    for _ in feed:
        pass
    return cpu_seconds() - before


def read_window(start: int) -> Any:
    """512 rows from `start` on: read, and preprocessed with all that needs no auxiliary data."""
    import dask
    import rasterio
    import rioxarray  # noqa: F401
    import xarray as xr
    from rasterio.windows import Window

    from darts_core.preprocessing.preprocess import preprocess

    bands = {}
    for name, file in {"blue": "B02", "green": "B03", "red": "B04", "nir": "B08"}.items():
        with rasterio.open(FLANDERS / f"ref_check_icor_S2_{file}.tif") as band:
            values = band.read(1, window=Window(0, start, 512, 512))
            crs, transform = band.crs, band.transform
        bands[name] = xr.Variable(("y", "x"), values, {"scale_factor": 1e-4, "add_offset": 0.0, "_FillValue": 65535})
    steps = np.arange(512) + 0.5
    coords = {"y": transform.f + transform.e * (start + steps), "x": transform.c + transform.a * steps}
    raw = xr.Dataset(bands, coords).rio.write_crs(crs).assign_attrs(scene="Flanders")
    with dask.config.set(scheduler="synchronous"):
        return preprocess(raw).compute()


if __name__ == "__main__":
    main()
