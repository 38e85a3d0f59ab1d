"""`darts-assets clean-up`: what nobody needs any more, listed and, when asked, removed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal
from rich.markup import escape

from darts_assets.terminal import console, teaching
from resources.settings import HOME, Settings


def clean_up(
    apply: Annotated[bool, typer.Option("--apply", help="Remove it; without this it is only listed")] = False,
    older_than_days: Annotated[int, typer.Option(min=1, help="Days for which a superseded version is kept")] = 30,
    also_made_from: Annotated[
        bool, typer.Option("--also-made-from", help="Also what a current product or release was made from")
    ] = False,
    home: Annotated[Path, typer.Option("--home", envvar=HOME, help="Folder of settings and products")] = Path(".darts"),
) -> None:
    """List superseded and unfinished versions and what lost writers and jobs left; with --apply remove them."""
    os.environ[HOME] = str(home)
    with teaching():
        from darts_assets.automation.clean_up import CleanUpConfig, clean
        from io_managers.base import StoreResource

        settings = Settings.load()
        store = StoreResource(root=settings.products, endpoint_url=settings.s3_endpoint).open()
        config = CleanUpConfig(dry_run=not apply, older_than_days=older_than_days, also_made_from=also_made_from)
        gone = clean(store, config, lambda line: console.print(escape(line), soft_wrap=True, highlight=False))
    total = decimal(sum(one.size for one in gone))
    console.print(f"{len(gone)} removed, {total}" if apply else f"{len(gone)} would go, {total}. Remove them: --apply")
