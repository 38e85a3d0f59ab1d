"""Somebody is told when a run fails. Off until a person turns it on."""

from __future__ import annotations

from typing import Any

import dagster as dg

from darts_assets.failures import message_of
from resources.webhook import ADDRESS, Webhook

_LONGEST = 500
"""Characters of an error's last line."""


@dg.run_failure_sensor(default_status=dg.DefaultSensorStatus.STOPPED)
def tell_failures(context: dg.RunFailureSensorContext, webhook: Webhook) -> dg.SkipReason | None:
    """Posts scene, asset, last line of the error and link of every run that failed to the address in DARTS_WEBHOOK."""
    if webhook.address is None:
        return dg.SkipReason(f"{ADDRESS} is not set, so nobody is told of run {context.dagster_run.run_id}")
    webhook.post(posted(context, webhook))
    return None


def posted(context: dg.RunFailureSensorContext, webhook: Webhook) -> dict[str, Any]:
    """What is posted; `text` is what chats show, the rest is for machines."""
    run = context.dagster_run
    failures = context.get_step_failure_events()
    failed = failures[0] if failures else context.failure_event
    asset, error = failed.step_key, _last_line(failed)
    scene = run.tags.get("dagster/partition") or run.tags.get("darts/scenes") or run.tags.get("darts/scene")
    what = " of ".join(part for part in (asset, scene) if part) or run.job_name
    link = webhook.run_url(run.run_id)
    return {
        "text": f"{what} failed: {error} {link}",
        "scene": scene,
        "asset": asset,
        "error": error,
        "job": run.job_name,
        "run": run.run_id,
        "link": link,
    }


def _last_line(event: dg.DagsterEvent) -> str:
    """Of the error that a step raised, or of what Dagster says of the run where no step did."""
    text = message_of(event) if event.is_step_failure else event.message or "no message"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1] if lines else text)[:_LONGEST]
