"""Scenes that a command was pointed to, and why the rest is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from darts_assets.terminal import console
from resources.settings import Settings

if TYPE_CHECKING:
    from darts_core.scenes import Findings


def find(paths: list[str]) -> Findings:
    """The scenes under some paths, and what was refused and why."""
    from darts_core.scenes import Findings
    from resources.scenes import SceneSource

    endpoint = Settings.load().s3_endpoint
    found = [SceneSource(url=path, endpoint_url=endpoint).find() for path in paths]
    scenes = {scene.key: scene for one in found for scene in one.scenes}
    return Findings(tuple(scenes.values()), tuple(left for one in found for left in one.refusals))


def show(found: Findings) -> None:
    """Print both."""
    table = Table(title=f"{len(found.scenes)} scene{'' if len(found.scenes) == 1 else 's'}")
    table.add_column("scene", no_wrap=True)
    table.add_column("reader", no_wrap=True)
    table.add_column("where", overflow="fold")
    for scene in found.scenes:
        table.add_row(scene.key, scene.reader, escape(scene.url))
    console.print(table)
    for refusal in found.refusals:
        reasons = "; ".join(f"{reader}: {reason}" for reader, reason in refusal.reasons.items())
        console.print(f"[yellow]left out[/] {escape(refusal.url)}: {escape(reasons)}", soft_wrap=True)
