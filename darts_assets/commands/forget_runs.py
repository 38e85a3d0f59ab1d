"""`darts-assets forget-runs`: what keeps the history of runs from growing for ever."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from darts_assets.terminal import console, teaching
from resources.settings import HOME, Settings


def forget_runs(
    apply: Annotated[bool, typer.Option("--apply", help="Forget them; without this they are only counted")] = False,
    older_than_days: Annotated[int, typer.Option(min=1, help="Days since a run was created")] = 180,
    home: Annotated[Path, typer.Option("--home", envvar=HOME, help="Folder of settings and run history")] = Path(
        ".darts"
    ),
) -> None:
    """Count old runs; with --apply delete them with their events and output.

    Runs that made, or tried last, what is current stay; they lose only what they printed. Products are not touched.
    """
    os.environ[HOME] = str(home)
    with teaching():
        from darts_assets.retention import apply_retention, plan_retention
        from darts_assets.runs import instance_of

        with instance_of(Settings.load()) as instance:
            retention = plan_retention(instance, datetime.now(UTC) - timedelta(days=older_than_days))
            if apply:
                apply_retention(instance, retention)
    verb = "were forgotten" if apply else "would be forgotten; do it with --apply"
    console.print(
        f"{len(retention.kept):,} runs older than {older_than_days} days tell of what is current and stay; "
        f"{len(retention.forgotten):,} {verb}"
    )
