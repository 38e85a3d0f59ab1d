"""Products that a launcher's job makes: what one scene asks for, and one job for all scenes of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg

from darts_assets.batches import PartitionContext, failed_in, keys_of
from darts_assets.faults import TookTooLong
from darts_core.jobs import Job, is_made
from darts_core.store import Draft, Store
from io_managers.base import Made, Summary
from resources.accelerator import Accelerator

if TYPE_CHECKING:
    from resources.launchers.launch import Launches


@dataclass(frozen=True, slots=True)
class ByJob:
    """A value to store that a job makes."""

    accelerator: Accelerator
    job: Callable[[Draft], Job] | None
    """The job that fills a draft; None where nothing is to be predicted for it."""
    finish: Callable[[Draft], None]
    """Completes a draft that its job has filled; raises what it lacks."""

    def fill(
        self, context: dg.AssetExecutionContext, launches: Launches, later: Callable[[], Iterable[Job]], draft: Draft
    ) -> Summary:
        """Fill a draft, and tell how it went.

        Args:
            launches: the jobs of this asset and run.
            later: jobs of the scenes that come after this one.
        """
        told: Summary = {}
        if self.job is not None:
            told = launches.make(context, self.job(draft), self.accelerator.backend, later)
        self.finish(draft)
        return told


def jobs_after(
    context: dg.AssetExecutionContext,
    store: Store,
    make: Callable[[dg.AssetExecutionContext], dg.MaterializeResult],
) -> Iterator[Job]:
    """What the scenes of a run that come after this one are to be predicted by.

    Args:
        context: of this one.
        store: where the products go.
        make: what the asset returns for a scene, before that is stored.
    """
    keys, asset = keys_of(context), context.asset_key.path[-1]
    for key in keys[keys.index(context.partition_key) + 1 :]:
        if key in failed_in(context.run.run_id):
            continue
        try:
            made = make(PartitionContext(context, key)).value
            # else it is there already
            if isinstance(made, Made) and made.value.job is not None:
                with store.draft(asset, key, made.version) as draft:
                    job = made.value.job(draft)
                if not is_made(job):
                    yield job
        except TookTooLong:
            raise
        except Exception:  # it is raised again when its turn comes
            continue
