"""What the commands share: where they print, how an error reads, and how far work is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from darts_core.errors import DartsError
from resources.reports import describe_windows

console = Console()
errors = Console(stderr=True)

EVERY = 10.0
"""Seconds between two lines where the output is no terminal."""


@contextmanager
def teaching() -> Iterator[None]:
    """Turn an error that a person can act on into its message and exit code 2."""
    try:
        yield
    except DartsError as error:
        errors.print(f"[red]Error:[/] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(2) from error


@contextmanager
def windows_shown() -> Iterator[Callable[[str, int, int], None]]:
    """Shows windows done, rate and remaining time: as bars on a terminal, else as a line now and then.

    Yields:
        To be told what was done to windows, to how many, and how many there are.
    """
    bars = Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"), console=console)
    begun: dict[str, tuple[float, int, TaskID]] = {}
    last = time.monotonic()

    def report(what: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if what not in begun:
            begun[what] = now, done, bars.add_task(what, said="")
        start, before, bar = begun[what]
        said = describe_windows(done, total, before, now - start)
        if console.is_terminal:
            bars.update(bar, completed=done, total=total, said=said)
        elif now - last > EVERY or done == total:
            console.print(f"{what}: {said}", highlight=False)
            last = now

    with bars if console.is_terminal else nullcontext():
        yield report
