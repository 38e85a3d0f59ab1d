"""`darts-assets search`: which scenes a catalogue has, how clear they are, and on request their files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from darts_assets.terminal import console, errors, teaching
from darts_core.errors import DartsError
from resources.catalogue import SceneCatalogue
from resources.settings import Settings

if TYPE_CHECKING:
    from darts_core.catalogue import Found


def search(
    tiles: Annotated[list[str] | None, typer.Option("--tile", help="MGRS tile such as T08WMA; may be repeated")] = None,
    aoi: Annotated[str | None, typer.Option(help="west,south,east,north in degrees, or a vector file")] = None,
    dates: Annotated[str | None, typer.Option(help="2021, 2021-07, or 2021-06-15/2021-09-15")] = None,
    max_cloud: Annotated[float | None, typer.Option(min=0, max=100, help="Percent")] = None,
    max_snow: Annotated[float | None, typer.Option(min=0, max=100, help="Percent")] = None,
    clearest: Annotated[
        Literal["tile", "season", "month", "day"] | None,
        typer.Option(help="Only the clearest of each tile, or of each tile and season, month or day"),
    ] = None,
    catalogue: Annotated[str | None, typer.Option(help="Root of a STAC API, or a folder; else the settings'")] = None,
    collections: Annotated[list[str] | None, typer.Option("--collection", help="Else the settings'")] = None,
    fetch: Annotated[Path | None, typer.Option(help="Copy what was found into this folder")] = None,
    limit: Annotated[int, typer.Option(min=1, help="More scenes than so many are an error")] = 10_000,
) -> None:
    """Search scenes by tile, area, dates, cloud and snow; `run` takes where they lie, or the folder of --fetch.

    The exit code is 0 where scenes were found (and fetched), 1 where one could not be fetched, and 2 where nothing
    was found or could start.
    """
    with teaching():
        from darts_core.catalogue import Query, area_of, period_of
        from darts_core.catalogue import clearest as choose

        settings = Settings.load()
        source = SceneCatalogue(
            url=catalogue or settings.catalogue or settings.scenes,
            collections=settings.collections if collections is None else collections,
            endpoint_url=settings.s3_endpoint,
        )
        start, end = (None, None) if dates is None else period_of(dates)
        area = None if aoi is None else area_of(aoi)
        query = Query(tuple(tiles or ()), area, start, end, max_cloud, max_snow, limit)
        answer = source.open().search(query)
        found = answer.found if clearest is None else choose(answer.found, clearest)
        _show(found)
        for refusal in answer.refusals:
            reasons = "; ".join(refusal.reasons.values())
            console.print(f"[yellow]left out[/] {escape(refusal.url)}: {escape(reasons)}", soft_wrap=True)
        if not found:
            raise DartsError(f"No such scene in {source.url}. Widen the dates, the area or the limits")
        failed = fetch is not None and not _fetched(found, fetch, settings)
    raise typer.Exit(1 if failed else 0)


def _show(found: Sequence[Found]) -> None:
    table = Table(title=f"{len(found)} scene{'' if len(found) == 1 else 's'}")
    table.add_column("scene", no_wrap=True)
    for name in ("date", "cloud %", "snow %"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("where", overflow="fold")
    for one in found:
        shares = ("" if share is None else f"{share:.1f}" for share in (one.cloud, one.snow))
        table.add_row(one.scene.key, f"{one.scene.acquired:%Y-%m-%d}", *shares, escape(one.scene.url))
    console.print(table)


def _fetched(found: Sequence[Found], folder: Path, settings: Settings) -> bool:
    """Fetch every scene; whether all came."""
    from darts_core.catalogue import fetch

    options = {"endpoint_url": settings.s3_endpoint} if settings.s3_endpoint else {}
    whole = True
    for one in found:
        try:
            console.print(f"fetched {escape(str(fetch(one.scene, folder, storage_options=options)))}", soft_wrap=True)
        except DartsError as error:
            errors.print(f"[red]{escape(one.scene.key)}[/] {escape(str(error))}", soft_wrap=True)
            whole = False
    return whole
