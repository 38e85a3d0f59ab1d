"""The decorator of every asset that is one product a partition: written for one, made for one or for many."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial, wraps
from typing import Any

import dagster as dg

from darts_assets.batches import BlockedError, begun, not_built_upon, one_by_one
from darts_assets.checks.check import Check, Checked
from darts_assets.faults import Patience, at_most, interrupts_kept
from darts_assets.partitions import SCENES
from darts_assets.recording import MadeOne
from darts_assets.together import ByJob, jobs_after
from io_managers.base import ByPartition, Made, ProductIOManager, explained, version_of
from resources.launchers.launch import Launches

# partitioned checks are in preview, backfill policies in beta: the exact pin of dagster makes them safe to use
warnings.filterwarnings("ignore", category=dg.PreviewWarning)
warnings.filterwarnings("ignore", category=dg.BetaWarning, message=".*backfill_policy")

SECONDS_TAG = "darts/scene_seconds"
SECONDS = 6 * 3600.0
"""Longest that one asset of one scene may take, unless the run's tag says otherwise."""

Make = Callable[..., dg.MaterializeResult]


def product(*, checks: Sequence[Check] = (), **about: Any) -> Callable[[Make], dg.AssetsDefinition]:
    """As `dg.asset`, of a function that makes one partition.

    What it returns is stored and checked before the asset ends; transient faults are waited for; in a run over many
    partitions each is made, stored, checked and shown by itself, and what a launcher makes of them is one job.

    Args:
        checks: of what is stored.
        about: what `dg.asset` takes; `partitions_def` and `io_manager_key` among it.
    """

    def decorate(make: Make) -> dg.AssetsDefinition:
        @wraps(make)
        def compute(context: dg.AssetExecutionContext, **given: Any) -> Iterator[dg.Output | dg.MaterializeResult]:
            begun(context)
            with explained(), interrupts_kept(), Launches() as launches:
                how = partial(_patiently_made, Patience(), make=make, given=given, checks=checks, about=about)
                one = partial(how, launches=launches)
                if context.has_partition_key:
                    result = one(context).result
                    yield result
                    if wrong := not_built_upon(context, result):
                        raise BlockedError(f"{context.partition_key} is not built upon: {wrong}")
                else:
                    yield from one_by_one(context, one)

        specs = [check.spec(make.__name__, about["partitions_def"]) for check in checks]
        return dg.asset(check_specs=specs, **about)(compute)

    return decorate


def _patiently_made(patience: Patience, context: dg.AssetExecutionContext, **how: Any) -> MadeOne:
    work = partial(patience, partial(_made, context, **how), context.log.warning)
    if how["about"]["partitions_def"] != SCENES:
        return work()
    seconds = float(context.run.tags.get(SECONDS_TAG, SECONDS))
    with at_most(seconds, f"{context.asset_key.path[-1]} of {context.partition_key}"):
        return work()


def _made(
    context: dg.AssetExecutionContext,
    make: Make,
    given: Mapping[str, Any],
    checks: Sequence[Check],
    about: Mapping[str, Any],
    launches: Launches,
) -> MadeOne:
    """Make one partition, store it and check what is stored."""
    asset, key = context.asset_key.path[-1], context.partition_key
    manager: ProductIOManager = getattr(context.resources, about["io_manager_key"])
    contract = about.get("metadata", {}).get("contract")
    read = _read(given, key)
    result = make(context, **read)
    metadata, made = dict(result.metadata or {}), result.value
    if isinstance(made, Made):
        if isinstance(made.value, ByJob):
            later = partial(
                jobs_after, context, manager.store.open(), lambda one: make(one, **_read(given, one.partition_key))
            )
            made = replace(made, value=partial(made.value.fill, context, launches, later))
        metadata |= manager.keep(asset, key, made, contract)
    found = []
    if checks:
        version = manager.store.open().current(asset, key)
        checked = Checked(version, partial(manager.read, version, contract))
        found = [check.result(checked) for check in checks]
    parents = {dep.asset_key.path[-1] for dep in context.assets_def.get_asset_spec(context.asset_key).deps}
    versions = {name: version_of(value) for name, value in read.items() if name in parents}
    return MadeOne(
        dg.MaterializeResult(metadata=metadata, data_version=result.data_version, check_results=found), versions
    )


def _read(given: Mapping[str, Any], key: str) -> dict[str, Any]:
    """What an asset is given, for one partition."""
    return {name: value.read(key) if isinstance(value, ByPartition) else value for name, value in given.items()}
