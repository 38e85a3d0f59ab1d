"""Why a scene failed, in the words of the run that failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dagster import DagsterEvent, DagsterEventType, DagsterInstance

from darts_assets.states import SceneState, State

_EVENTS = 100
"""Failed steps of a run that are looked at."""


def reasons(instance: DagsterInstance, states: Mapping[str, SceneState], most: int) -> Iterator[tuple[str, str]]:
    """The first `most` failed scenes, and for each what was expected, what came, and what to do."""
    failed = ((key, state) for key, state in states.items() if state.state is State.FAILED)
    for (key, state), _ in zip(failed, range(most), strict=False):
        yield key, reason(instance, key, state)


def reason(instance: DagsterInstance, key: str, state: SceneState) -> str:
    """What the failed run of a scene says of it; of a run that said nothing, that its process died."""
    if state.run_id is None:
        return state.why
    steps = instance.get_records_for_run(state.run_id, of_type=DagsterEventType.STEP_FAILURE, limit=_EVENTS).records
    told = [message_of(record.event_log_entry.get_dagster_event()) for record in steps]
    # a run of many scenes says a line for each
    own = [line.partition(": ")[2] for text in told for line in text.splitlines() if line.startswith(f"{key}: ")]
    return (own or told or ["the process of its run ended without a word; its logs may tell more"])[0]


def message_of(event: DagsterEvent) -> str:
    """What a step that failed says, without what Dagster says around it."""
    data = event.step_failure_data
    if data.user_failure_data:
        return str(data.user_failure_data.description)
    error = data.error
    # what Dagster raised is about the step; what lies below is what the step raised, the cause of that is detail
    while error is not None and error.cause is not None and str(error.cls_name).startswith("Dagster"):
        error = error.cause
    return error.message.strip() if error else "failed"
