"""Two small assets, one made from the other, for a scene each: what a test wants of them goes wrong on request."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
from dagster._core.storage.partition_status_cache import (
    AssetStatusCacheValue,
    get_and_update_asset_status_cache_value,
)

from darts_assets.batches import batch_tags
from darts_assets.checks.check import Checked, blocking, warning
from darts_assets.materialize import materialize
from darts_assets.partitions import SCENES
from darts_assets.products import product
from darts_core.store import Store
from io_managers.base import StoreResource
from io_managers.files import FileIOManager

KEYS = [f"T08WMA_2021080{day}T210019_S2A" for day in range(1, 7)]


@dataclass
class Bench:
    """A store, an instance that knows six scenes, and the assets `first` and `second`."""

    store: Store
    instance: dg.DagsterInstance
    on_make: Callable[[str, str], None] = lambda asset, key: None
    """Called with asset and scene as each is made; may raise."""
    code: str = "1"
    made: list[tuple[str, str]] = field(default_factory=list)
    """Asset and scene of the work that was done, in order."""

    def __post_init__(self) -> None:
        self.instance.add_dynamic_partitions(str(SCENES.name), KEYS)

    def job(self) -> dg.JobDefinition:
        """Both assets, with the code version of now."""
        about = {
            "partitions_def": SCENES,
            "backfill_policy": dg.BackfillPolicy.multi_run(16),
            "io_manager_key": "file",
            "code_version": self.code,
            "metadata": {"contract": ".txt"},
        }

        @product(**about, checks=[is_not_empty, is_short])
        def first(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
            return self._materialize(context, {"delivery": context.partition_key})

        @product(**about)
        def second(context: dg.AssetExecutionContext, first) -> dg.MaterializeResult:
            return self._materialize(context, {"first": first})

        definitions = dg.Definitions(
            assets=[first, second],
            resources={"file": FileIOManager(store=StoreResource(root=self.store.root))},
            executor=dg.in_process_executor,
        )
        return definitions.resolve_implicit_global_asset_job_def()

    def _materialize(self, context: dg.AssetExecutionContext, inputs: dict[str, object]) -> dg.MaterializeResult:
        asset, key = context.asset_key.path[-1], context.partition_key

        def make() -> Callable[[Path], object]:
            self.on_make(asset, key)
            self.made.append((asset, key))
            return lambda folder: (folder / "it.txt").write_text(f"{asset} of {key} by {self.code}")

        return materialize(
            context,
            self.store,
            inputs=inputs,
            parameters={},
            make=make,
            summarize=lambda stored: {"letters": len(stored.path.read_text())},
        )

    def batch(self, keys: Sequence[str] = KEYS, **tags: str) -> dg.ExecuteInProcessResult:
        """One run over scenes, as we launch it."""
        return self.execute(tags=batch_tags(keys) | tags)

    def execute(self, **of: object) -> dg.ExecuteInProcessResult:
        """One run."""
        return self.job().execute_in_process(instance=self.instance, raise_on_error=False, **of)

    def materialized(self, asset: str) -> set[str]:
        """Scenes that are green in the UI."""
        return self.instance.get_materialized_partitions(dg.AssetKey(asset))

    def failed(self, asset: str) -> set[str]:
        """Scenes that are red in the UI."""
        return set(self._status(asset).deserialize_failed_partition_subsets(SCENES).get_partition_keys())

    def in_progress(self, asset: str) -> set[str]:
        """Scenes that are blue in the UI."""
        return set(self._status(asset).deserialize_in_progress_partition_subsets(SCENES).get_partition_keys())

    def _status(self, asset: str) -> AssetStatusCacheValue:
        status = get_and_update_asset_status_cache_value(self.instance, dg.AssetKey(asset), SCENES, self.instance)
        assert status is not None
        return status


def failure(result: dg.ExecuteInProcessResult) -> str:
    """The message that a run ended with."""
    (event,) = [event for event in result.all_events if event.is_step_failure]
    error = event.step_failure_data.error
    return str((error.cause or error).message)


@blocking
def is_not_empty(checked: Checked) -> dg.AssetCheckResult:
    """The text has letters; scenes of the fourth of August count as empty."""
    passed = checked.summary["letters"] > 0 and "20210804" not in checked.version.manifest.partition
    return dg.AssetCheckResult(passed=passed, description="has no letters that count")


@warning
def is_short(checked: Checked) -> dg.AssetCheckResult:
    """The text has few letters; scenes of the fifth of August have too many."""
    passed = "20210805" not in checked.version.manifest.partition
    return dg.AssetCheckResult(passed=passed, severity=dg.AssetCheckSeverity.WARN, description="has many letters")
