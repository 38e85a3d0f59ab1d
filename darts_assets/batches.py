"""Runs of many scenes: which they are, which of them failed, and what Dagster is told of each as it is made.

Dagster hands a run a range of partitions, in the order in which they were registered, and on its own marks all of them
or none, when the last is made. Here a run may also name scenes that do not follow each other, and each is marked by
itself, at once; one that failed is left alone by the later assets of the run, which ends red and says why.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    DEFAULT_DATA_VERSION,
    NULL_EVENT_POINTER,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION as TOLD_BY_US
from dagster._core.events import (
    AssetMaterializationPlannedData,
    DagsterEvent,
    DagsterEventBatchMetadata,
    generate_event_batch_id,
)
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from darts_assets.partitions import SCENES, season_of, tile_of
from darts_core.errors import DartsError

SCENES_A_RUN = 16
"""Most that Dagster puts into one run of a backfill: what loading a model costs is then small beside the work."""
SCENES_TAG = "darts/scenes"
AT_ONCE = 500
"""Events that are written together at most."""
_LENGTH = 2_000
"""Characters of a tag: PostgreSQL indexes no value of more than 2,704 bytes."""


class BatchError(DartsError):
    """Some scenes of a run failed; the others are made."""


@dataclass(frozen=True, slots=True)
class MadeOne:
    """What came of one partition."""

    result: dg.MaterializeResult
    """Without a value: it is stored. Its checks are named."""
    inputs: Mapping[str, str]
    """Versions of the products that it was made from, by asset."""


class PartitionContext(dg.AssetExecutionContext):
    """The context of an asset, as if the run had this one partition only."""

    def __init__(self, context: dg.AssetExecutionContext, key: str) -> None:
        super().__init__(context.op_execution_context)
        self._key = key

    @property
    def partition_key(self) -> str:
        """The partition that is made now."""
        return self._key


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
    named = [names for tag, names in sorted(context.run.tags.items()) if tag.startswith(SCENES_TAG)]
    return " ".join(named).split() or list(context.partition_keys)


_FAILED: dict[str, dict[str, str]] = {}
"""Of the runs of this process: partition to what failed. The steps of a run share a process, see the executor."""


def failed_in(run_id: str) -> dict[str, str]:
    """Of a run of this process: the partitions of a batch that failed, with the asset and its message."""
    return _FAILED.get(run_id, {})


def begun(context: dg.AssetExecutionContext) -> None:
    """At the first asset of a run, let its tags say what it makes, whoever launched it."""
    run = context.run.run_id
    if run not in _FAILED:
        _FAILED[run] = {}
        if context.assets_def.partitions_def == SCENES:
            tags = {name: value for name, value in described(keys_of(context)).items() if name not in context.run.tags}
            context.instance.add_run_tags(run, tags)


def one_by_one(
    context: dg.AssetExecutionContext, make: Callable[[PartitionContext], MadeOne]
) -> Iterator[dg.Output | dg.MaterializeResult]:
    """Make each partition of a run that has several; Dagster is told of each, and goes on with those that are made.

    Raises:
        BatchError: partitions failed, and nothing of the run is left to be done for the others.
    """
    keys, step = keys_of(context), context.op_execution_context.get_step_execution_context()
    failed = _FAILED[context.run.run_id]
    record = _Record(context)
    if any(tag.startswith(SCENES_TAG) for tag in context.run.tags):
        record.plan(keys[1:])
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
    yield dg.MaterializeResult(metadata={TOLD_BY_US: True})


def _one(
    context: dg.AssetExecutionContext, key: str, make: Callable[[PartitionContext], MadeOne], record: _Record
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
    wrong = [
        f"{check.check_name}: {check.description}" for check in made.result.check_results or [] if record.blocks(check)
    ]
    if not wrong:
        return {}
    context.log.error(f"{asset} of {key} is not built upon: {'; '.join(wrong)}")
    return {key: f"{asset}: {'; '.join(wrong)}"}


def _summary(failed: Mapping[str, str], keys: Sequence[str]) -> str:
    lines = [f"{key}: {why}" for key, why in sorted(failed.items())]
    return "\n".join(
        [
            f"{len(failed)} of {len(keys)} scenes failed; what was made of the others is kept. Once the cause is gone, "
            "materialize these again:",
            *lines,
        ]
    )


@dataclass
class _Record:
    """What Dagster's event log gets to know of an asset's partitions."""

    context: dg.AssetExecutionContext
    _materializations: list[dg.AssetMaterialization] = field(default_factory=list)
    _checks: list[tuple[str, dg.AssetCheckResult]] = field(default_factory=list)
    _written: float = field(default_factory=time.monotonic)

    def plan(self, keys: Sequence[str]) -> None:
        """Announce partitions: one that is announced and not made is red once the run has failed."""
        context, step = self.context, self.context.op_execution_context.get_step_execution_context()
        batch, last = generate_event_batch_id(), len(keys) - 1
        for number, key in enumerate(keys):
            data = AssetMaterializationPlannedData(context.asset_key, partition=key, partitions_subset=None)
            event = DagsterEvent.build_asset_materialization_planned_event(context.job_name, step.step.key, data)
            context.instance.report_dagster_event(
                event,
                context.run.run_id,
                logging.DEBUG,
                batch_metadata=DagsterEventBatchMetadata(batch, number == last),
            )

    def made(self, key: str, made: MadeOne) -> None:
        """Tell of one partition: at once where work was done, within a second where there was nothing to do."""
        result = made.result
        metadata = dict(result.metadata or {})
        self._materializations.append(
            dg.AssetMaterialization(
                self.context.asset_key, partition=key, metadata=metadata, tags=self._provenance(made)
            )
        )
        self._checks += [(key, check) for check in result.check_results or []]
        full = len(self._materializations) >= AT_ONCE or time.monotonic() - self._written > 1.0
        if full or not metadata.get("cache_hit"):
            self.write()

    def write(self) -> None:
        """Write what was told and is not written yet."""
        step, kind = self.context.op_execution_context.get_step_execution_context(), dg.DagsterEventType
        made, checks = self._materializations, self._checks
        self._materializations, self._checks, self._written = [], [], time.monotonic()
        batch = generate_event_batch_id()
        for number, materialization in enumerate(made, start=1):
            together = DagsterEventBatchMetadata(batch, number == len(made))
            DagsterEvent.asset_materialization(step, materialization, together)
        if not checks:
            return
        ids = self.context.instance.event_log_storage.get_latest_storage_id_by_partition(
            self.context.asset_key, kind.ASSET_MATERIALIZATION, {key for key, _ in checks}
        )
        batch = generate_event_batch_id()
        for number, (key, check) in enumerate(checks, start=1):
            evaluation = self._evaluation(key, check, ids[key])
            told = "passed" if check.passed else "did not pass"
            DagsterEvent.from_step(
                kind.ASSET_CHECK_EVALUATION,
                step,
                evaluation,
                f"{check.check_name} of {key} {told}: {check.description}",
                DagsterEventBatchMetadata(batch, number == len(checks)),
            )

    def blocks(self, check: dg.AssetCheckResult) -> bool:
        """Whether nothing is to be made from a partition because of this check."""
        return not check.passed and check.severity is dg.AssetCheckSeverity.ERROR and self._spec(check).blocking

    def _spec(self, check: dg.AssetCheckResult) -> dg.AssetCheckSpec:
        return next(spec for spec in self.context.assets_def.check_specs if spec.name == check.check_name)

    def _evaluation(self, key: str, check: dg.AssetCheckResult, storage_id: int) -> dg.AssetCheckEvaluation:
        target = AssetCheckEvaluationTargetMaterializationData(
            storage_id=storage_id, run_id=self.context.run.run_id, timestamp=time.time()
        )
        return dg.AssetCheckEvaluation(
            asset_key=self.context.asset_key,
            check_name=str(check.check_name),
            passed=check.passed,
            metadata=check.metadata,
            target_materialization_data=target,
            severity=check.severity,
            description=check.description,
            blocking=self._spec(check).blocking,
            partition=key,
        )

    def _provenance(self, made: MadeOne) -> dict[str, str]:
        """The tags by which Dagster tells what is out of date; those that it gives to a partition by itself."""
        step = self.context.op_execution_context.get_step_execution_context()
        spec, version = self.context.assets_def.get_asset_spec(self.context.asset_key), made.result.data_version
        tags = {
            CODE_VERSION_TAG: str(spec.code_version),
            DATA_VERSION_TAG: version.value if version else "",
            DATA_VERSION_IS_USER_PROVIDED_TAG: "true",
        }
        for dep in spec.deps:
            known = step.maybe_fetch_and_get_input_asset_version_info(dep.asset_key)
            read = made.inputs.get(dep.asset_key.path[-1])
            shared = known.data_version if known and known.data_version else DEFAULT_DATA_VERSION
            # Dagster hashes the versions of the partitions that were read, also where it is one
            tags[get_input_data_version_tag(dep.asset_key)] = (
                sha256(read.encode()).hexdigest() if read else shared.value
            )
            tags[get_input_event_pointer_tag(dep.asset_key)] = str(known.storage_id) if known else NULL_EVENT_POINTER
        return tags
