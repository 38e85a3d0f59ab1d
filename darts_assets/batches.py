"""Runs of many scenes: which they are, which of them failed, and what Dagster is told of each as it is made.

Dagster hands a run a range of partitions, in the order in which they were registered, and on its own marks all of them
or none, when the last is made. Here a run may also name scenes that do not follow each other, and each is marked by
itself, at once; one that failed is left alone by the later assets of the run, which ends red and says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import dagster as dg
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION
from dagster._core.execution.plan.resume_retry import ReexecutionStrategy
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    RETRY_STRATEGY_TAG,
)

from darts_assets.partitions import SCENES, partitioned_by, season_of, tile_of
from darts_assets.recording import MadeOne, Record, announce, spec_of
from darts_core.errors import DartsError

_Row = TypeVar("_Row")

SCENES_A_RUN = 16
"""Most that Dagster puts into one run of a backfill: what loading a model costs is then small beside the work."""
SCENES_TAG = "darts/scenes"
_LENGTH = 2_000
"""Characters of a tag: PostgreSQL indexes no value of more than 2,704 bytes."""


# what an output carries whose materializations are logged by the one who made it: Dagster then logs none for the range
_NO_EVENTS = {SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True}


class BatchError(DartsError):
    """Some scenes of a run failed; the others are made."""


class BlockedError(DartsError):
    """A product fails a check, and nothing is to be built upon it."""


class PartitionContext(dg.AssetExecutionContext):
    """The context of an asset, as if the run had this one partition only."""

    def __init__(self, context: dg.AssetExecutionContext, key: str) -> None:
        super().__init__(context.op_execution_context)
        self._key = key

    @property
    def partition_key(self) -> str:
        """The partition that is made now."""
        return self._key


def cut(rows: Sequence[_Row], most: int = SCENES_A_RUN) -> list[list[_Row]]:
    """Scenes, or anything else, as batches of at most so many, in their order."""
    return [list(rows[start : start + most]) for start in range(0, len(rows), most)]


def batch_tags(keys: Sequence[str]) -> dict[str, str]:
    """The tags of a run that makes these scenes, whether or not they follow each other."""
    named: list[str] = [""]
    for key in keys:
        if len(named[-1]) + len(key) >= _LENGTH:
            named.append("")
        named[-1] = f"{named[-1]} {key}".strip()
    return {
        # to Dagster it is the range of the first; the others are ours to tell of
        ASSET_PARTITION_RANGE_START_TAG: keys[0],
        ASSET_PARTITION_RANGE_END_TAG: keys[0],
        **{f"{SCENES_TAG}/{number}" if number else SCENES_TAG: names for number, names in enumerate(named)},
        **described(keys),
    }


def described(keys: Sequence[str]) -> dict[str, str]:
    """The tags by which people find the run of these scenes."""
    tiles, seasons = sorted({tile_of(key) for key in keys}), sorted({season_of(key) for key in keys})
    return {
        **({"darts/scene": keys[0]} if len(keys) == 1 else {}),
        "darts/tile": tiles[0] if len(tiles) == 1 else f"{len(tiles)} tiles",
        "darts/season": seasons[0] if len(seasons) == 1 else f"{seasons[0]} to {seasons[-1]}",
    }


def keys_of(context: dg.AssetExecutionContext) -> list[str]:
    """The partitions that a run is to make."""
    return named_in(context.run.tags) or list(context.partition_keys)


def named_in(tags: Mapping[str, str]) -> list[str]:
    """The scenes that the tags of a run name one by one; none where it makes one, or a range."""
    return " ".join(names for tag, names in sorted(tags.items()) if tag.startswith(SCENES_TAG)).split()


_FAILED: dict[str, dict[str, str]] = {}
"""Of the runs of this process: partition to what failed. The steps of a run share a process, see the executor."""


def failed_in(run_id: str) -> dict[str, str]:
    """Of a run of this process: the partitions of a batch that failed, with the asset and its message."""
    return _FAILED.get(run_id, {})


def begun(context: dg.AssetExecutionContext) -> None:
    """At the first asset of a run, let Dagster and the run's tags say what it makes, whoever launched it."""
    run = context.run.run_id
    if run not in _FAILED:
        _FAILED[run] = {}
        keys = keys_of(context)
        tags = described(keys) if context.assets_def.partitions_def == SCENES else {}
        alike = partitioned_by(context.job_def.asset_layer.asset_graph, context.assets_def.partitions_def)
        announce(context.instance, context.run, alike, keys)
        if not context.has_partition_key:
            # which scenes failed is known to this process only; where it dies, the next begins with the first asset
            tags[RETRY_STRATEGY_TAG] = ReexecutionStrategy.ALL_STEPS.value
        context.instance.add_run_tags(
            run, {name: value for name, value in tags.items() if name not in context.run.tags}
        )


def one_by_one(
    context: dg.AssetExecutionContext, make: Callable[[PartitionContext], MadeOne]
) -> Iterator[dg.Output | dg.MaterializeResult]:
    """Make each partition of a run that has several; Dagster is told of each, and goes on with those that are made.

    Raises:
        BatchError: partitions failed, and nothing of the run is left to be done for the others.
    """
    keys, step = keys_of(context), context.op_execution_context.get_step_execution_context()
    failed = _FAILED[context.run.run_id]
    record = Record(context)
    try:
        for key in keys:
            if key not in failed:
                failed.update(_one(context, key, make, record))
    finally:
        record.write()
    later = any(step.step.key in needed for needed in step.execution_plan.get_executable_step_deps().values())
    if failed and (not later or failed.keys() >= set(keys)):
        raise BatchError(_summary(failed, keys))
    for output in context.op_execution_context.op_def.output_defs[1:]:
        yield dg.Output(None, output_name=output.name)  # of a check, told by us as well
    yield dg.MaterializeResult(metadata=_NO_EVENTS)


def _one(
    context: dg.AssetExecutionContext, key: str, make: Callable[[PartitionContext], MadeOne], record: Record
) -> dict[str, str]:
    """Make one partition; what failed, where something did."""
    asset = context.asset_key.path[-1]
    try:
        made = make(PartitionContext(context, key))
    except Exception as error:
        # our own errors say everything by themselves
        context.log.error(f"{asset} of {key} failed: {error}", exc_info=not isinstance(error, DartsError))
        return {key: f"{asset}: {error}"}
    record.made(key, made)
    wrong = not_built_upon(context, made.result)
    if not wrong:
        return {}
    context.log.error(f"{asset} of {key} is not built upon: {wrong}")
    return {key: f"{asset}: {wrong}"}


def not_built_upon(context: dg.AssetExecutionContext, result: dg.MaterializeResult) -> str:
    """Which blocking checks a product fails, and why; empty where it may be used."""
    failed = [check for check in result.check_results or [] if not check.passed]
    errors = [check for check in failed if check.severity is dg.AssetCheckSeverity.ERROR]
    wrong = [check for check in errors if spec_of(context, check).blocking]
    return "; ".join(f"{check.check_name}: {check.description}" for check in wrong)


def _summary(failed: Mapping[str, str], keys: Sequence[str]) -> str:
    lines = [f"{key}: {why}" for key, why in sorted(failed.items())]
    return "\n".join(
        [
            f"{len(failed)} of {len(keys)} scenes failed; what was made of the others is kept. Once the cause is gone, "
            "materialize these again:",
            *lines,
        ]
    )
