"""What the event log says of the progress."""

import logging

import pytest

from darts_assets import progress
from darts_assets.progress import logged


def test_a_line_now_and_then_and_one_at_the_end(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    tell = logged(logging.getLogger("run"))
    tell(1000, 4000)
    tell(2000, 4000)
    monkeypatch.setattr(progress, "EVERY", 600.0)
    tell(3000, 4000)
    tell(4000, 4000)
    first, last = caplog.messages
    assert first.startswith("windows 2,000 of 4,000 (50 %), ")
    assert first.endswith(" left")
    assert last.startswith("windows 4,000 of 4,000 (100 %), ")
