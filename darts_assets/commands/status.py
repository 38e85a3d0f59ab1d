"""How the platform is: scenes, runs, pools, daemons, disk; for people, for scripts, for Prometheus."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from darts_assets.terminal import console, teaching
from resources.settings import HOME, Settings

if TYPE_CHECKING:
    from darts_assets.figures import Figures

_FAILED_SHOWN = 10
_APART = 60.0
"""Seconds by which clocks of two machines may differ."""


def status(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
    prometheus: Annotated[bool, typer.Option("--prometheus", help="Prometheus' text format")] = False,
    store: Annotated[bool, typer.Option("--store", help="Add up the store too: lists every object in it")] = False,
    home: Annotated[Path, typer.Option("--home", envvar=HOME, help="Folder of settings and run history")] = Path(
        ".darts"
    ),
) -> None:
    """Scenes by state, what runs, what waits, and what failed and why; the exit code is 0 whatever failed."""
    os.environ[HOME] = str(home)
    with teaching():
        from darts_assets import figures
        from darts_assets.failures import reasons
        from darts_assets.runs import instance_of
        from darts_assets.states import scene_states
        from io_managers.base import StoreResource

        settings = Settings.load()
        products = StoreResource(root=settings.products, endpoint_url=settings.s3_endpoint).open()
        with instance_of(settings) as instance:
            states = scene_states(instance)
            found = figures.take(instance, products, states, measure=store)
            if as_json:
                print(json.dumps(asdict(found), indent=1))
            elif prometheus:
                print(figures.prometheus(found), end="")
            else:
                _show(found)
                for key, why in reasons(instance, states, _FAILED_SHOWN):
                    console.print(f"[red]{escape(key)}[/] {escape(why)}", soft_wrap=True)


def _show(found: Figures) -> None:
    from darts_assets.states import State

    scenes = Table("season", *State)
    for season, states in found.scenes.items():
        scenes.add_row(season, *(str(states[state]) for state in State))
    console.print(scenes)
    told = {
        "runs": _listed(found.runs),
        "ended within the hour": _listed(found.ended_last_hour),
        "backfills": str(found.backfills or "none"),
        **{
            f"pool {name}": f"{pool.used} of {pool.slots} slots, {pool.waiting} waiting"
            for name, pool in found.pools.items()
        },
        **{f"{name} daemon": f"alive {_ago(found, when)}" for name, when in found.heartbeats.items()},
        **{name: f"{how} {_ago(found, when)}" for name, (when, how) in found.ticks.items()},
        "free on the disk": _gigabytes(found.free_bytes),
        "in the store": _gigabytes(found.store_bytes),
    }
    lines = Table.grid(padding=(0, 2))
    for name, value in told.items():
        if value:
            lines.add_row(name, value)
    console.print(lines)


def _listed(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counted.items() if number) or "none"


def _ago(found: Figures, when: float) -> str:
    moment = f"{datetime.fromtimestamp(when, UTC):%Y-%m-%d %H:%M:%S} UTC"
    if when > found.taken + _APART:
        return f"at {moment}, which is still to come: the clock was set back, and until then it rests"
    return f"{max(0.0, found.taken - when):.0f} s ago ({moment})"


def _gigabytes(size: int | None) -> str:
    return "" if size is None else f"{size / 1e9:.1f} GB"
