"""How files that lie elsewhere are reached: with time-outs and retries, by GDAL and by fsspec."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from darts_core import web
from darts_core.web import session, without_secrets

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

LARGEST_DOCUMENT = 32 * 2**20
"""Bytes of metadata that are read at most."""

CONNECT = 3.0
"""Seconds in which an object store has to take a connection."""
_ATTEMPTS = 4
"""Of one request to an object store, with growing, random pauses, on errors 5xx, slow-down and lost connections."""
_REPEATS = 3
"""Of what s3fs does with that: it begins anew where these have failed for a lost connection, or a body broke off."""

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
        "GDAL_HTTP_MAX_RETRY": str(web.RETRIES),
        "GDAL_HTTP_RETRY_DELAY": str(web.PAUSE),
        "GDAL_HTTP_CONNECTTIMEOUT": f"{web.TIMEOUT:.0f}",
        "GDAL_HTTP_LOW_SPEED_TIME": f"{web.TIMEOUT:.0f}",
        "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
    }
    if changing:
        # else GDAL goes on reading what the file was when it was first opened
        options["CPL_VSIL_CURL_NON_CACHED"] = gdal_path(url)
    endpoint = (storage_options or {}).get("endpoint_url")
    if endpoint:
        parts = urlsplit(str(endpoint))
        options |= {
            "AWS_S3_ENDPOINT": parts.netloc + parts.path.rstrip("/"),
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


def filesystem_options(url: str, storage_options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Keyword arguments of fsspec's filesystem for `url`, with our time-outs and retries where it is an object store.

    Listings are never cached: other processes write there too. Credentials come from the environment or a profile.
    """
    if urlsplit(url).scheme != "s3":
        return {"use_listings_cache": False} if is_remote(url) else {}
    import s3fs

    # of the class, because zarr and xarray make filesystems of their own; s3fs's 5 are 125 attempts to read an object
    s3fs.S3FileSystem.retries = _REPEATS
    policy = {
        "retries": {"mode": "standard", "total_max_attempts": _ATTEMPTS},
        "connect_timeout": CONNECT,
        "read_timeout": web.TIMEOUT,
        "max_pool_connections": 32,
    }
    # above 1, s3fs asks for the size before it reads an object, and a part that breaks off fails the whole
    return {"use_listings_cache": False, "config_kwargs": policy, "max_concurrency": 1, **(storage_options or {})}


def filesystem(url: str, storage_options: Mapping[str, Any] | None = None) -> tuple[AbstractFileSystem, str]:
    """The filesystem that `url` lies in, with `filesystem_options`, and its path there."""
    import fsspec

    return fsspec.core.url_to_fs(url, **filesystem_options(url, storage_options))


def read_bytes(url: str, storage_options: Mapping[str, Any] | None = None) -> bytes:
    """Content of a small file, http(s), s3 or local.

    Raises:
        OSError: it cannot be reached, is not there, or is larger than `LARGEST_DOCUMENT`.
    """
    if url.startswith(("http://", "https://")):
        with _as_os_error(), session().get(url, timeout=web.TIMEOUT, stream=True) as response:
            response.raise_for_status()
            content = bytearray()
            for block in response.iter_content(2**20):
                content += block
                _check_document(len(content))
        return bytes(content)
    fs, path = filesystem(url, storage_options)
    with _as_os_error():
        _check_document(fs.size(path) or 0)
        return fs.cat_file(path)


def _check_document(size: int) -> None:
    if size > LARGEST_DOCUMENT:
        raise OSError(f"more than {LARGEST_DOCUMENT} bytes, too many for metadata")


@contextmanager
def _as_os_error() -> Iterator[None]:
    """Object stores have errors of their own for a missing credential or a wrong endpoint; none shows a secret."""
    try:
        yield
    except OSError as error:
        # a failed request names its whole URL
        if without_secrets(str(error)) == str(error):
            raise
        raise OSError(without_secrets(str(error))) from None
    except Exception as error:
        raise OSError(without_secrets(f"{type(error).__name__}: {error}")) from error


def size_and_mark(url: str, storage_options: Mapping[str, Any] | None = None) -> tuple[int, str | None]:
    """Bytes of a file, and what its server marks its content with (ETag, else time of modification).

    Raises:
        OSError: it cannot be reached, is not there, or its size is not told.
    """
    if url.startswith(("http://", "https://")):
        with _as_os_error():
            response = session().head(url, timeout=web.TIMEOUT, allow_redirects=True)
            response.raise_for_status()
        size, headers = response.headers.get("Content-Length"), response.headers
    else:
        fs, path = filesystem(url, storage_options)
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
        with _as_os_error(), session().get(url, timeout=web.TIMEOUT, stream=True) as response:
            response.raise_for_status()
            yield from response.iter_content(size)
        return
    fs, path = filesystem(url, storage_options)
    with _as_os_error(), fs.open(path, "rb") as file:
        while block := file.read(size):
            yield block
