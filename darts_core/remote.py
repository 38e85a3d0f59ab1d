"""How files that lie elsewhere are reached: with time-outs and retries, by GDAL and by fsspec."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem
    from requests import Session
    from urllib3.util import Retry

TIMEOUT = 30.0
"""Seconds that a server may be silent."""
RETRIES = 4
"""Further attempts after a failed request, each after twice the pause of the one before."""
PAUSE = 0.5
"""Seconds before the second further attempt."""

LARGEST_DOCUMENT = 32 * 2**20
"""Bytes of metadata that are read at most."""

_BUSY = (429, 500, 502, 503, 504)
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


def gdal_options(
    url: str, storage_options: Mapping[str, Any] | None = None, *, changing: bool = False
) -> dict[str, str]:
    """GDAL's configuration for reading `url`; none where it is on this machine.

    Args:
        storage_options: those of fsspec's filesystem, of which ``endpoint_url`` is heeded.
        changing: whether what lies there may change within the life of this process.
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
    }
    if changing:
        # else GDAL goes on reading what the file was when it was first opened
        options["CPL_VSIL_CURL_NON_CACHED"] = gdal_path(url)
    endpoint = (storage_options or {}).get("endpoint_url")
    if endpoint:
        parts = urlsplit(str(endpoint))
        options |= {
            "AWS_S3_ENDPOINT": parts.netloc,
            "AWS_HTTPS": "YES" if parts.scheme == "https" else "NO",
            "AWS_VIRTUAL_HOSTING": "FALSE",
        }
    return options


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file that is read where it lies, by windows."""

    url: str
    size: int
    """Bytes."""
    endpoint_url: str | None = None
    """Of an S3-compatible service; None for AWS."""

    @property
    def suffix(self) -> str:
        """Ending of the name, with the dot."""
        return posixpath.splitext(urlsplit(self.url).path)[1]

    @property
    def options(self) -> dict[str, str]:
        """GDAL's configuration for reading it."""
        return gdal_options(self.url, {"endpoint_url": self.endpoint_url})


def retries() -> Retry:
    """The policy of `RETRIES` and `PAUSE` for searches and downloads: what is asked changes nothing over there."""
    from urllib3.util import Retry

    return Retry(
        total=RETRIES,
        backoff_factor=PAUSE,
        backoff_max=TIMEOUT,
        status_forcelist=_BUSY,
        allowed_methods=None,
        raise_on_status=False,
        retry_after_max=round(TIMEOUT),
    )


@lru_cache(maxsize=1)
def session() -> Session:
    """The HTTP session of this process."""
    from requests import Session
    from requests.adapters import HTTPAdapter

    opened = Session()
    for scheme in ("http://", "https://"):
        opened.mount(scheme, HTTPAdapter(max_retries=retries(), pool_maxsize=16))
    return opened


def read_bytes(url: str, storage_options: Mapping[str, Any] | None = None) -> bytes:
    """Content of a small file, http(s), s3 or local.

    Raises:
        OSError: it cannot be reached, is not there, or is larger than `LARGEST_DOCUMENT`.
    """
    if url.startswith(("http://", "https://")):
        with session().get(url, timeout=TIMEOUT, stream=True) as response:
            response.raise_for_status()
            content = bytearray()
            for block in response.iter_content(2**20):
                content += block
                _check_document(len(content))
        return bytes(content)
    fs, path = _filesystem(url, storage_options)
    with _as_os_error():
        _check_document(fs.size(path) or 0)
        return fs.cat_file(path)


def _check_document(size: int) -> None:
    if size > LARGEST_DOCUMENT:
        raise OSError(f"more than {LARGEST_DOCUMENT} bytes, too many for metadata")


def _filesystem(url: str, storage_options: Mapping[str, Any] | None) -> tuple[AbstractFileSystem, str]:
    import fsspec

    options = {"use_listings_cache": False, **(storage_options or {})} if is_remote(url) else {}
    return fsspec.core.url_to_fs(url, **options)


@contextmanager
def _as_os_error() -> Iterator[None]:
    """Object stores have errors of their own for a missing credential or a wrong endpoint."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def size_and_mark(url: str, storage_options: Mapping[str, Any] | None = None) -> tuple[int, str | None]:
    """Bytes of a file, and what its server marks its content with (ETag, else time of modification).

    Raises:
        OSError: it cannot be reached, is not there, or its size is not told.
    """
    if url.startswith(("http://", "https://")):
        response = session().head(url, timeout=TIMEOUT, allow_redirects=True)
        response.raise_for_status()
        size, headers = response.headers.get("Content-Length"), response.headers
    else:
        fs, path = _filesystem(url, storage_options)
        with _as_os_error():
            headers = fs.info(path)
        size = headers.get("size")
    if size is None:
        raise OSError("the server does not tell its size")
    mark = headers.get("ETag") or headers.get("Last-Modified") or headers.get("mtime")
    return int(size), None if mark is None else str(mark).strip('"')


def blocks_of(url: str, storage_options: Mapping[str, Any] | None = None, size: int = 2**20) -> Iterator[bytes]:
    """Content of a file of any size, in blocks of at most `size` bytes.

    Raises:
        OSError: it cannot be reached, is not there, or breaks off.
    """
    if url.startswith(("http://", "https://")):
        with session().get(url, timeout=TIMEOUT, stream=True) as response:
            response.raise_for_status()
            yield from response.iter_content(size)
        return
    fs, path = _filesystem(url, storage_options)
    with _as_os_error(), fs.open(path, "rb") as file:
        while block := file.read(size):
            yield block
