"""The command that processes many scenes: selects them by what they are, shows what it would do, and does it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING
from uuid import uuid4

import typer
from rich.progress import track
from rich.table import Table

from darts_assets.terminal import console, errors
from darts_core.errors import DartsError

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from darts_assets.runs import Outcome
    from darts_assets.states import SceneState

TILES_SHOWN = 40
BACKFILL_TAG = "darts/backfill"


class AssetsError(DartsError):
    """Assets that are not of a scene."""


def backfill(
    instance: DagsterInstance,
    where: str,
    *,
    assets: str | None,
    limit: int | None,
    batch: int,
    dry_run: bool,
    yes: bool,
    here: bool,
) -> list[Outcome]:
    """Process the scenes that are meant; how each ended, where that is known when this returns.

    Raises:
        DartsError: a selection or assets that are not understood, or nothing to do.
    """
    from darts_assets.batches import cut
    from darts_assets.selecting import Where, select

    names = _assets(assets)
    chosen = dict(list(select(instance, Where.parse(where)).items())[:limit])
    keys = list(chosen)
    batches = cut(keys, batch)
    console.print(_table(chosen))
    console.print(
        f"{len(keys)} scenes, {', '.join(names) if names else 'all their assets'}, in {len(batches)} runs of up to "
        f"{batch} scenes; what is up to date is left as it is"
    )
    if dry_run or not (yes or typer.confirm("Go on?")):
        return []
    if not here:
        _queue(instance, batches, names)
        return []
    from darts_assets.runs import run_batch

    told = track(batches, "Processing", console=console)
    return [outcome for one in told for outcome in run_batch(instance, one, select=names)]


def _queue(instance: DagsterInstance, batches: list[list[str]], names: list[str] | None) -> None:
    from dagster._daemon.types import DaemonStatus

    from darts_assets.queueing import queue

    name = uuid4().hex[:8]
    runs = queue(instance, batches, names, **{BACKFILL_TAG: name})
    console.print(f"Queued {len(runs)} runs; in the UI they have the tag [bold]{BACKFILL_TAG}={name}[/]")
    daemons: Mapping[str, DaemonStatus] = instance.get_daemon_statuses()
    if not any(status.healthy for status in daemons.values()):
        errors.print(
            "[yellow]No daemon is running, so they wait:[/] start it with 'darts-assets ui', or process scenes without "
            "one with --here"
        )


def _assets(words: str | None) -> list[str] | None:
    """Names of assets of a scene, in the order given.

    Raises:
        AssetsError: one that is none.
    """
    if not words:
        return None
    from darts_assets.graph import scene_assets

    there = [key.path[-1] for key in scene_assets()]
    names = [name for name in words.split(",") if name]
    unknown = [name for name in names if name not in there]
    if unknown or not names:
        raise AssetsError(f"No asset of a scene is {', '.join(unknown) or repr(words)}: there are {', '.join(there)}")
    return names


def _table(chosen: Mapping[str, SceneState]) -> Table:
    """Scenes by tile and state."""
    from darts_assets.partitions import tile_of
    from darts_assets.states import State

    counts = Counter((tile_of(key), state.state) for key, state in chosen.items())
    states = [state for state in State if any(of == state for _, of in counts)]
    tiles = sorted({tile for tile, _ in counts})
    table = Table("tile", *states, "scenes")
    for tile in tiles[:TILES_SHOWN]:
        numbers = [counts[tile, state] for state in states]
        table.add_row(tile, *(str(number or "") for number in numbers), str(sum(numbers)))
    if len(tiles) > TILES_SHOWN:
        rest = [sum(counts[tile, state] for tile in tiles[TILES_SHOWN:]) for state in states]
        table.add_row(f"and {len(tiles) - TILES_SHOWN} more", *map(str, rest), str(sum(rest)))
    return table
