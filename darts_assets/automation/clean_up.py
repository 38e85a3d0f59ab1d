"""The weekly clean-up: what nobody needs any more goes, after a look at what that is."""

import logging
from collections.abc import Callable
from datetime import timedelta

import dagster as dg
from pydantic import Field

from darts_core.retention import Removable, find_removable, remove
from darts_core.store import Store
from io_managers.base import StoreResource


class CleanUpConfig(dg.Config):
    """What the Launchpad offers for `clean_up`."""

    dry_run: bool = Field(default=True, description="Only list what would go")
    older_than_days: int = Field(
        default=30, ge=1, description="Days for which a superseded or unfinished version is kept"
    )
    also_made_from: bool = Field(
        default=False, description="Let go also what a current product or release was made from"
    )


def clean(store: Store, config: CleanUpConfig, say: Callable[[str], None]) -> list[Removable]:
    """Remove what may go, or where it is a dry run only say so; what went or would go.

    Raises:
        RetentionError: it is not known what may go.
    """
    found = find_removable(store, timedelta(days=config.older_than_days), also_made_from=config.also_made_from)
    gone = []
    for one in found:
        if config.dry_run or remove(store, one):
            say(f"{'Would remove' if config.dry_run else 'Removed'} {one}")
            gone.append(one)
    return gone


@dg.op(description="Lists what nobody needs any more, and removes it where `dry_run` is off.")
def remove_superseded(context: dg.OpExecutionContext, config: CleanUpConfig, store: StoreResource) -> None:
    """Each thing that goes is a line of the log; their number and bytes are the run's metadata."""
    log: logging.Logger = context.log
    gone = clean(store.open(), config, log.info)
    counts = {f"{kind} versions": sum(one.kind == kind for one in gone) for kind in {one.kind for one in gone}}
    context.add_output_metadata(
        {"dry run": config.dry_run, "gigabytes": round(sum(one.size for one in gone) / 1e9, 3), **counts}
    )


@dg.job(
    description="Removes superseded and unfinished versions, old staging folders, downloads and files of lost jobs."
)
def clean_up() -> None:
    """One step."""
    remove_superseded()
