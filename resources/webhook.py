"""An address that is told of what went wrong."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
from pydantic import Field

from darts_core.errors import DartsError

ADDRESS = "DARTS_WEBHOOK"
"""Variable of the environment. Who knows the address may post to it: it stands in no file, setting, log or error."""

_ATTEMPTS = 4
_PAUSE = 1.0
"""Seconds before the second attempt; each later pause is twice the one before."""
_TIMEOUT = 5.0
"""Seconds for connecting and for an answer: a sensor's tick has 60 in all."""


class WebhookError(DartsError):
    """The address took no message."""


class Webhook(dg.ConfigurableResource):
    """Posts JSON to the address in DARTS_WEBHOOK: Slack, Mattermost, Teams, or what an operator runs."""

    ui_url: str = Field("http://127.0.0.1:3000", description="Where people open the UI; for links")

    @property
    def address(self) -> str | None:
        """Where messages go; None where nobody is to be told."""
        return os.environ.get(ADDRESS) or None

    def run_url(self, run_id: str) -> str:
        """The page of a run."""
        return f"{self.ui_url.rstrip('/')}/runs/{run_id}"

    def post(self, message: Mapping[str, Any]) -> None:
        """Send one message, again where the address is busy or does not answer.

        Raises:
            WebhookError: no address, one that refuses, or none that answers; without the address itself.
        """
        import requests

        parts = urlsplit(self.address or "")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise WebhookError(f"{ADDRESS} should hold an address that begins with https:// or http://")
        fault = ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(_PAUSE * 2 ** (attempt - 1))
            try:
                # not by the session of the catalogues: its retries write the address into the log
                answer = requests.post(str(self.address), json=dict(message), timeout=_TIMEOUT, allow_redirects=False)
            except requests.RequestException as error:
                fault = type(error).__name__
                continue
            if 200 <= answer.status_code < 300:
                return
            fault = f"status {answer.status_code}"
            if answer.status_code != 429 and answer.status_code < 500:
                break
        raise WebhookError(f"The webhook on {parts.hostname} took no message: {fault}. Check {ADDRESS}")
