"""What super-resolving a scene will take, before it is done."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from darts_core.inference.panels import Panel, col_spans, panels
from darts_core.superresolution.area import cut
from darts_core.superresolution.outputs import Mode, RasterJob, write_super_resolved
from darts_core.superresolution.patches import PatchWork, plan_patches
from darts_core.windows import Plan, Window

_ENOUGH = 2.0
"""Seconds after which a sample is long enough to be scaled up."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Figures of one scene."""

    windows: int
    """Of the plan."""
    predicted: int
    """Windows with a valid pixel, which alone go through the model; no more than were asked for."""
    sampled: int
    """Windows that were predicted to measure the time."""
    shards: int
    height: int
    """Rows of the raster."""
    width: int
    """Columns of the raster."""
    raster_bytes: int
    """Uncompressed, without overviews."""
    shard_bytes: int
    """Uncompressed."""
    temporary_bytes: int
    """In the system's temporary folder, of a scene too wide to be blended at once."""
    memory_bytes: int
    """Of the process at its peak, in main memory."""
    seconds: float


def estimate(job: RasterJob) -> Estimate:
    """Plan a scene, and make a small part of it in a temporary folder to see how long that takes."""
    work = plan_patches(job.scene.dataset, job.upscaler, job.parameters, job.shard_bytes)
    predicted = len(work.occupied[: job.first])
    seconds, sampled = _measured(job, work) if predicted else (0.0, 0)
    plan, bands = work.plan, len(work.bands)
    cut_into = panels(plan, bands)
    pixel = bands * np.dtype(work.written_to(Path()).dtype).itemsize
    height, width = plan.height * plan.factor, plan.width * plan.factor
    kept = job.mode is Mode.SHARDS
    return Estimate(
        windows=len(plan),
        predicted=predicted,
        sampled=sampled,
        shards=len(work.shards) if kept else 0,
        height=height,
        width=width,
        raster_bytes=pixel * height * width,
        shard_bytes=pixel * plan.window[0] * plan.window[1] * plan.factor**2 * predicted if kept else 0,
        temporary_bytes=pixel * _spilled(plan, cut_into),
        memory_bytes=_peak() + max(panel.nbytes for panel in cut_into),
        seconds=seconds * predicted,
    )


def _measured(job: RasterJob, work: PatchWork) -> tuple[float, int]:
    """Seconds for one window, and how many were predicted to know it.

    The sample grows around the middle one of the windows until it takes long enough. The first run only warms up.
    """
    most = max(len(work.plan.row_offsets), len(work.plan.col_offsets))
    side = 1
    _run(job, _around_the_middle(work, side))
    seconds, windows = _run(job, _around_the_middle(work, side))
    while seconds < _ENOUGH and side < most:
        side *= 2
        seconds, windows = _run(job, _around_the_middle(work, side))
    return seconds / windows, windows


def _around_the_middle(work: PatchWork, side: int) -> Window:
    """The pixels of `side` x `side` windows, as far as the plan has them."""
    row, col = divmod(work.occupied[len(work.occupied) // 2], len(work.plan.col_offsets))
    top, bottom = _span(work.plan.row_offsets, row, side)
    left, right = _span(work.plan.col_offsets, col, side)
    return Window(top, left, bottom + work.plan.window[0] - top, right + work.plan.window[1] - left)


def _span(offsets: Sequence[int], middle: int, side: int) -> tuple[int, int]:
    """Offsets of the first and the last of `side` windows."""
    first = max(0, min(middle - side // 2, len(offsets) - side))
    return offsets[first], offsets[min(first + side, len(offsets)) - 1]


def _run(job: RasterJob, area: Window) -> tuple[float, int]:
    """Make a part of the scene: seconds, and windows that were predicted."""
    counts = [0]
    scene = replace(job.scene, dataset=cut(job.scene.dataset, area))
    with TemporaryDirectory() as folder:
        start = time.perf_counter()
        sample = replace(job, scene=scene, first=None, keep_shards=False)
        write_super_resolved(sample, Path(folder, "sample.tif"), lambda _, done, total: counts.append(total))
        return time.perf_counter() - start, counts[-1]


def _spilled(plan: Plan, cut_into: Sequence[Panel]) -> int:
    """Pixels of what reaches from one panel into the next, for two such borders, which the mosaic has at once."""
    height = len(plan.row_offsets) * plan.window[0] * plan.factor
    spans = col_spans(plan)
    widths = [sum(max(0, one.end - panel.stop) for one in spans if one.start < panel.stop) for panel in cut_into[:-1]]
    return 2 * height * max(widths, default=0)


def _peak() -> int:
    """Bytes of main memory that this process held at most."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
