"""Scenes to rasters, one after the other; one that fails does not keep the others from being made."""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import typer
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from darts_assets.commands.targets import Looks, Target
from darts_assets.terminal import console, errors, windows_shown
from darts_core.errors import DartsError
from darts_core.windows import PlanError

if TYPE_CHECKING:
    from darts_core.superresolution.area import Area
    from darts_core.superresolution.estimate import Estimate
    from darts_core.superresolution.inputs import SceneInput
    from darts_core.superresolution.outputs import RasterJob

PREVIEW = 128
"""Pixels of the scene a side of a preview, where no excerpt says it."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What is the same for all scenes."""

    opening: partial[SceneInput]
    """Opens a scene by its URL."""
    area: Area | None
    job: partial[RasterJob]
    """Lacks the scene and its source."""
    looks: Looks

    def make(self, target: Target) -> str:
        """Make the raster of one scene and what was asked for beside it; says what came of it."""
        from darts_core.grids import Grid
        from darts_core.superresolution.outputs import shards_folder, write_super_resolved
        from darts_core.superresolution.previews import pixel_at

        with self._job(target) as job, windows_shown() as report:
            if self.looks.at is not None:
                pixel_at(self.looks.at, Grid.of(job.scene.dataset))  # refused now, not after hours
            target.path.parent.mkdir(parents=True, exist_ok=True)
            write_super_resolved(job, target.path, report)
            self._look(job, target)
            left = shards_folder(target.path)
            if left.exists() and not job.keep_shards:
                console.print(f"{left} holds shards of runs with other settings; remove it where they are not to go on")
        return decimal(target.path.stat().st_size)

    def estimate(self, target: Target) -> str:
        """Say what it would take to make the raster of one scene."""
        from darts_core.superresolution.estimate import estimate

        with self._job(target) as job:
            expected = estimate(job)
        console.print(_figures(target, expected))
        return f"about {_duration(expected.seconds)}"

    @contextmanager
    def _job(self, target: Target) -> Iterator[RasterJob]:
        from darts_core.superresolution.area import crop
        from darts_core.superresolution.outputs import fingerprint

        scene = self.opening(target.url)
        with closing(scene.dataset):
            dataset = scene.dataset if self.area is None else crop(scene.dataset, self.area)
            yield self.job(
                scene=replace(scene, dataset=dataset),
                source=fingerprint(target.url, self.opening.keywords, self.area and self.area.identity),
            )

    def _look(self, job: RasterJob, target: Target) -> None:
        from darts_core.superresolution.previews import excerpt, write_excerpt, write_pictures

        if not self.looks.preview and self.looks.excerpt is None:
            return
        place = excerpt(job.scene.dataset, target.path, self.looks.excerpt or PREVIEW, self.looks.at)
        if self.looks.preview:
            write_pictures(place, *target.pictures)
        if self.looks.excerpt is not None:
            write_excerpt(place, *target.excerpts)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one scene ended."""

    target: Target
    said: str
    failed: bool
    seconds: float


def run_batch(targets: Sequence[Target], work: Callable[[Target], str]) -> bool:
    """Do the work for each scene and say how it went; whether any failed.

    Raises:
        PlanError: windows that fit no scene.
    """
    with _warnings_shown():
        try:
            outcomes = [_attempt(target, work) for target in targets]
        except KeyboardInterrupt:
            errors.print(
                "[yellow]Stopped.[/] Earlier outputs are as they were. With --mode shards the same command goes on"
            )
            raise typer.Exit(130) from None
    if len(outcomes) > 1:
        console.print(_table(outcomes))
    return any(outcome.failed for outcome in outcomes)


def _attempt(target: Target, work: Callable[[Target], str]) -> Outcome:
    console.print(f"[bold]{escape(target.url)}[/] to {escape(str(target.path))}", soft_wrap=True)
    start = time.monotonic()
    try:
        said, failed = work(target), False
    except PlanError:
        raise
    except Exception as error:
        failed, said = True, str(error) if isinstance(error, DartsError) else f"{type(error).__name__}: {error}"
        if not isinstance(error, (DartsError, OSError)):
            traceback.print_exc()
        errors.print(f"[red]Failed:[/] {escape(said)}", soft_wrap=True)
    seconds = time.monotonic() - start
    if not failed:
        console.print(f"{said}, in {_duration(seconds)}")
    return Outcome(target, said, failed, seconds)


@contextmanager
def _warnings_shown() -> Iterator[None]:
    """Warnings as the commands print them, each text once."""
    with warnings.catch_warnings():
        warnings.simplefilter("once", UserWarning)
        warnings.showwarning = lambda message, *_: errors.print(
            f"[yellow]Warning:[/] {escape(str(message))}", soft_wrap=True
        )
        yield


def _table(outcomes: Sequence[Outcome]) -> Table:
    table = Table()
    for column in ("scene", "output", "seconds", "result"):
        table.add_column(column, overflow="fold")
    for one in outcomes:
        result = "[red]failed" if one.failed else f"[green]{one.said}"
        table.add_row(escape(one.target.url), escape(str(one.target.path)), f"{one.seconds:.1f}", result)
    return table


def _figures(target: Target, expected: Estimate) -> Table:
    table = Table(title=escape(f"Dry run for {target.path}"), show_header=False)
    rows = {
        "windows": f"{expected.windows}, of which {expected.predicted} are predicted",
        "raster": f"{expected.width} x {expected.height} pixels, {decimal(expected.raster_bytes)} uncompressed",
        "shards": f"{expected.shards}, {decimal(expected.shard_bytes)} before compression",
        "temporary files": decimal(expected.temporary_bytes),
        "memory": f"about {decimal(expected.memory_bytes)}",
        "time": f"about {_duration(expected.seconds)}, estimated from {expected.sampled} windows",
    }
    for name, text in rows.items():
        table.add_row(name, text)
    return table


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{timedelta(seconds=round(seconds))}"
