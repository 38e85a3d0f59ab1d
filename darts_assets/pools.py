"""Pools: what of the runs that go on may use one accelerator, or ask one service, at a time."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

ACCELERATOR = "accelerator"
"""Of all that holds a model on a device."""


def pool_of(address: str | None) -> str | None:
    """The pool of the service at an address: one a host, or a bucket; None for a folder of this machine.

    So assets that read from one service share its limit, whatever they read, and others are not held up.
    """
    url = urlsplit((address or "").removeprefix("stac+"))
    if url.scheme in ("", "file") or not url.netloc:
        return None
    host = url.netloc.rpartition("@")[2]
    return f"service-{'s3-' if url.scheme == 's3' else ''}{re.sub('[^a-z0-9.-]+', '-', host.lower())}"
