"""How files that lie elsewhere are reached: with time-outs and retries, by GDAL and by fsspec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

TIMEOUT = 30.0
"""Seconds that a server may be silent."""
RETRIES = 4
"""Further attempts after a failed request, each after twice the pause of the one before."""
PAUSE = 0.5
"""Seconds before the second further attempt."""

_VSI = {"http": "/vsicurl/", "https": "/vsicurl/", "s3": "/vsis3/"}


def is_remote(url: str) -> bool:
    """Whether a URL is one of http, https or s3."""
    return urlsplit(url).scheme in _VSI


def gdal_path(url: str) -> str:
    """A URL as GDAL names it; what is none, such as a path or a name of GDAL's own, is left as it is."""
    scheme = urlsplit(url).scheme
    if scheme == "s3":
        return "/vsis3/" + url.removeprefix("s3://")
    return _VSI[scheme] + url if scheme in _VSI else url


def plain_url(path: str) -> str:
    """The inverse of `gdal_path`."""
    for prefix, scheme in (("/vsicurl/", ""), ("/vsis3/", "s3://"), ("/vsigs/", "gs://"), ("/vsizip/", "")):
        if path.startswith(prefix):
            return plain_url(scheme + path.removeprefix(prefix))
    return path


def gdal_options(url: str, storage_options: Mapping[str, Any] | None = None) -> dict[str, str]:
    """GDAL's configuration for reading `url`; none where it is on this machine.

    Args:
        storage_options: those of fsspec's filesystem, of which ``endpoint_url`` is heeded.
    """
    if not is_remote(plain_url(url)):
        return {}
    options = {
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "GDAL_HTTP_MAX_RETRY": str(RETRIES),
        "GDAL_HTTP_RETRY_DELAY": str(PAUSE),
        "GDAL_HTTP_CONNECTTIMEOUT": f"{TIMEOUT:.0f}",
        "GDAL_HTTP_LOW_SPEED_TIME": f"{TIMEOUT:.0f}",
        "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
        # else a process that lives long goes on reading what the file was when it was first opened
        "CPL_VSIL_CURL_NON_CACHED": gdal_path(url),
    }
    endpoint = (storage_options or {}).get("endpoint_url")
    if endpoint:
        parts = urlsplit(str(endpoint))
        options |= {
            "AWS_S3_ENDPOINT": parts.netloc,
            "AWS_HTTPS": "YES" if parts.scheme == "https" else "NO",
            "AWS_VIRTUAL_HOSTING": "FALSE",
        }
    return options
