"""The command `darts-assets`: what the UI does, from a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from darts_assets.commands import steps
from darts_assets.commands.clean_up import clean_up
from darts_assets.commands.finding import find, show
from darts_assets.commands.search import search
from darts_assets.commands.super_resolve import super_resolve
from darts_assets.terminal import console, errors, teaching
from darts_core.errors import DartsError
from darts_core.store import MissingProduct
from resources.settings import HOME, Settings

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from darts_assets.runs import Outcome
    from darts_core.store import Store

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Home = Annotated[Path, typer.Option("--home", envvar=HOME, help="Folder of settings, products and run history")]


@app.command()
def scenes(
    path: Annotated[str, typer.Argument(help="Folder, scene or s3:// prefix")], home: Home = Path(".darts")
) -> None:
    """List the scenes that would be processed, and why everything else is left out."""
    with _teaching(home):
        show(find([path]))


@app.command()
def run(
    paths: Annotated[list[str], typer.Argument(help="Folders, scenes or s3:// prefixes")],
    dem: Annotated[str | None, typer.Option(help="Elevation raster (GeoTIFF or VRT)")] = None,
    trends: Annotated[str | None, typer.Option(help="Tasselled-cap trend raster")] = None,
    checkpoints: Annotated[str | None, typer.Option(help="Folder of segmentation checkpoints")] = None,
    upscaler: Annotated[str | None, typer.Option(help="Super-resolution model")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, mps or auto")] = None,
    home: Home = Path(".darts"),
) -> None:
    """Process scenes from delivery to slump polygons; the exit code says whether all succeeded."""
    overrules = {"dem": dem, "trends": trends, "checkpoints": checkpoints, "upscaler": upscaler, "device": device}
    with _teaching(home, overrules):
        found = find(paths)
        show(found)
        if not found.scenes:
            raise DartsError(f"No scene to process in {', '.join(paths)}; the table above says why")
        from darts_assets.runs import add_scenes, check_settings, instance_of

        settings = Settings.load()
        store = _store(settings)
        check_settings(settings, store)
        with instance_of(settings) as instance:
            outcomes = process(instance, add_scenes(instance, store, list(found.scenes)))
        _report(store, outcomes)
    raise typer.Exit(1 if any(outcome.error for outcome in outcomes) else 0)


@app.command()
def backfill(
    where: Annotated[
        str,
        typer.Option(
            help="Scenes: 'tile=T08* season=2023 sensor=S2A state=failed,missing,stale,made'; without a state all that "
            "are failed, missing or stale"
        ),
    ] = "",
    assets: Annotated[str | None, typer.Option(help="Assets to make, commas between; all of a scene without")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Scenes at most, tile after tile")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Scenes in one run, which loads each model once")] = 16,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing")] = False,
    here: Annotated[bool, typer.Option("--here", help="In this process, without queue and daemon")] = False,
    home: Home = Path(".darts"),
) -> None:
    """Process registered scenes by what they are: those of a tile, a season, a state."""
    with _teaching(home):
        from darts_assets.commands.backfill import backfill as fill
        from darts_assets.runs import check_settings, instance_of

        settings = Settings.load()
        store = _store(settings)
        if not dry_run:
            check_settings(settings, store)
        with instance_of(settings) as instance:
            outcomes = fill(
                instance, where, assets=assets, limit=limit, batch=batch, yes=yes, dry_run=dry_run, here=here
            )
        if outcomes:
            _report(store, outcomes)
    raise typer.Exit(1 if any(outcome.error for outcome in outcomes) else 0)


@app.command()
def demo(home: Home = Path(".darts")) -> None:
    """Make two synthetic scenes, train small models on them, and run everything end to end."""
    with _teaching(home):
        from darts_assets.demo import run_demo

        outcomes = run_demo(console)
        _report(_store(Settings.load()), outcomes)
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(1)
    console.print(f"\nProducts lie in [bold]{Settings.load().products}[/]. Look at them in the UI: [bold]make ui[/]")


@app.command()
def ui(
    home: Home = Path(".darts"),
    host: Annotated[str, typer.Option(help="Dagster has no authentication: keep to loopback")] = "127.0.0.1",
    port: Annotated[int, typer.Option()] = 3000,
) -> None:
    """Start the Dagster UI with its daemon, on the run history of this home."""
    with _teaching(home):
        from darts_assets.runs import prepare_home

        settings = Settings.load()
        prepare_home(settings)
        os.environ["DAGSTER_HOME"] = str(settings.dagster_home)
        workspace = Path(__file__).parents[1] / "workspace.yaml"
        command = ["-m", "dagster", "dev", "-w", str(workspace), "-h", host, "-p", str(port)]
        os.execv(sys.executable, [sys.executable, *command])


app.command()(search)
app.command()(clean_up)
for step in (
    *(super_resolve, steps.preprocess, steps.segment, steps.ensemble, steps.postprocess, steps.vectorize),
    *(steps.export, steps.release, steps.coregister),
):
    app.command(rich_help_panel="Steps on files, without settings or run history")(step)


def process(instance: DagsterInstance, keys: list[str]) -> list[Outcome]:
    """Run the scenes of these partitions one after the other, then release their seasons, under a progress bar."""
    from darts_assets.partitions import season_of
    from darts_assets.runs import run_job

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[asset]}"), TimeElapsedColumn())
    outcomes = []
    with Progress(*columns, console=console) as bars:
        for key in keys:
            bar = bars.add_task(key, total=None, asset="")
            outcome = run_job(
                instance,
                "process_scene",
                key,
                progress=partial(_advance, bars, bar),
            )
            _end(bars, bar, outcome)
            outcomes.append(outcome)
        for season in sorted({season_of(outcome.partition) for outcome in outcomes if not outcome.error}):
            bar = bars.add_task(f"release {season}", total=1, asset="slump_dataset")
            outcomes.append(run_job(instance, "release_season", season))
            _end(bars, bar, outcomes[-1])
    return outcomes


def _advance(bars: Progress, bar: TaskID, done: int, total: int, asset: str) -> None:
    bars.update(bar, completed=done, total=total, asset=asset)


def _end(bars: Progress, bar: TaskID, outcome: Outcome) -> None:
    bars.update(bar, completed=1, total=1, asset="[red]failed" if outcome.error else "[green]done")


@contextmanager
def _teaching(home: Path, overrules: Mapping[str, str | None] | None = None) -> Iterator[None]:
    """Point this process to `home`; its errors teach."""
    os.environ[HOME] = str(home)
    os.environ.update({f"DARTS_{name.upper()}": value for name, value in (overrules or {}).items() if value})
    with teaching():
        yield


def _store(settings: Settings) -> Store:
    from io_managers.base import StoreResource

    return StoreResource(root=settings.products, endpoint_url=settings.s3_endpoint).open()


def _report(store: Store, outcomes: list[Outcome]) -> None:
    table = Table("partition", "slumps", "area (ha)", "seconds", "state")
    for outcome in outcomes:
        facts = _slumps(store, outcome)
        state = "[red]failed" if outcome.error else "[green]made"
        table.add_row(outcome.partition, *facts, f"{outcome.seconds:.1f}", state)
    console.print(table)
    for outcome in outcomes:
        if outcome.error:
            errors.print(f"[red]{escape(outcome.partition)}[/] {escape(outcome.error)}", soft_wrap=True)


def _slumps(store: Store, outcome: Outcome) -> tuple[str, str]:
    for asset in () if outcome.error else ("slump_polygons", "slump_dataset"):
        with suppress(MissingProduct):
            summary = store.current(asset, outcome.partition).manifest.summary
            return str(summary["polygons"]), f"{summary['area (ha)']:.2f}"
    return "", ""
