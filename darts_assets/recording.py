"""What Dagster's event log gets to know of each partition of a run over many: what Dagster itself would tell of one."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from hashlib import sha256
from typing import cast

import dagster as dg
from dagster import DagsterInstance, DagsterRun
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
from dagster._core.events import (
    AssetMaterializationPlannedData,
    DagsterEvent,
    DagsterEventBatchMetadata,
    generate_event_batch_id,
)
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log import SqlEventLogStorage

AT_ONCE = 500
"""Events that are written together at most."""
ENVIRONMENT = {
    "DAGSTER_EVENT_BATCH_SIZE": str(AT_ONCE),
    "DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS": "true",
}
"""Of every process that queues or executes runs: events are written together, and a queued run has one an asset."""


@dataclass(frozen=True, slots=True)
class MadeOne:
    """What came of one partition."""

    result: dg.MaterializeResult
    """Without a value: it is stored. Its checks are named."""
    inputs: Mapping[str, str]
    """Versions of the products that it was made from, by asset."""


def spec_of(context: dg.AssetExecutionContext, check: dg.AssetCheckResult) -> dg.AssetCheckSpec:
    """What a check that was evaluated was said to be."""
    return next(spec for spec in context.assets_def.check_specs if spec.name == check.check_name)


def announce(instance: DagsterInstance, run: DagsterRun, assets: Set[dg.AssetKey], keys: Sequence[str]) -> None:
    """Tell of each partition that a run is about to make its assets of it.

    Until the run ends they are seen as being made; what it has not made by then is red if it failed.

    Args:
        assets: those that have these partitions; others of the run Dagster has told of.
    """
    plan = instance.get_execution_plan_snapshot(str(run.execution_plan_snapshot_id))
    events = [
        _planned(run, step.key, asset, key)
        for step in plan.steps
        if step.key in plan.step_keys_to_execute
        for output in step.outputs
        if output.properties and (asset := output.properties.asset_key) and asset in assets
        for key in keys
    ]
    # every storage that comes with Dagster is one
    storage = cast("SqlEventLogStorage", instance.event_log_storage)
    # in the instance's own way, one by one, they take ten times as long
    for start in range(0, len(events), AT_ONCE):
        with storage.index_connection() as connection:
            connection.execute(storage.prepare_insert_event_batch(events[start : start + AT_ONCE]))


def _planned(run: DagsterRun, step: str, asset: dg.AssetKey, key: str) -> EventLogEntry:
    data = AssetMaterializationPlannedData(asset, partition=key, partitions_subset=None)
    return EventLogEntry(
        error_info=None,
        level=logging.DEBUG,
        user_message="",
        run_id=run.run_id,
        timestamp=time.time(),
        step_key=step,
        job_name=run.job_name,
        dagster_event=DagsterEvent.build_asset_materialization_planned_event(run.job_name, step, data),
    )


@dataclass
class Record:
    """What Dagster's event log gets to know of an asset's partitions."""

    context: dg.AssetExecutionContext
    _materializations: list[dg.AssetMaterialization] = field(default_factory=list)
    _checks: list[tuple[str, dg.AssetCheckResult]] = field(default_factory=list)
    _written: float = field(default_factory=time.monotonic)

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
        for key, check in checks:
            DagsterEvent.asset_check_evaluation(step, self._evaluation(key, check, ids[key]))

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
            blocking=spec_of(self.context, check).blocking,
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
