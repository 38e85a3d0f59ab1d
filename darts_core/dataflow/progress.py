"""One line that says how far something is, how fast it goes and how long it will take."""

from __future__ import annotations


def describe_progress(done: int, total: int, seconds: float) -> str:
    """For example `1,200 of 8,464 (14 %), 35.2/s, 3 min 26 s left`; without a rate until something is done."""
    share = f" ({100 * done // total} %)" if total else ""
    text = f"{done:,} of {total:,}{share}"
    if done == 0 or seconds <= 0:
        return text
    rate = done / seconds
    speed = f"{1 / rate:.1f} s each" if rate < 1 else f"{rate:,.1f}/s" if rate < 100 else f"{rate:,.0f}/s"
    return f"{text}, {speed}, {_duration((total - done) / rate)} left"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
