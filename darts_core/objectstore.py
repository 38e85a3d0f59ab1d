"""Whole objects under one root, a local folder or an object store: read, listed, put in one step, or a clear error.

An object is renamed or put in one request (above `PART` in several, which become visible together): it is whole or
absent. Nobody opens an object to write into it, for an exception inside ``with fs.open(path, "wb")`` commits what was
written until then.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from darts_core.manifests import StoreError, StoreUnavailable
from darts_core.remote import filesystem
from darts_core.web import without_secrets

PART = 16 * 2**20
"""Bytes of one request, where an object is larger."""
TOGETHER = 4
"""Requests at a time, so that `PART` times this is in memory."""
KEPT = 86_400.0
"""Seconds that a fetched object stays on the local disk after it was last asked for."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
_UNKNOWN = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "CredentialRetrievalError")
_STANDS = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")


@dataclass(frozen=True)
class ObjectStore:
    """Objects under one root. All errors of an object store come as `StoreUnavailable`, but for an absent object."""

    root: str
    """A local folder or ``s3://bucket/prefix``."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the fsspec filesystem, such as endpoint_url; credentials come from the environment."""

    @cached_property
    def fs(self) -> fsspec.AbstractFileSystem:
        """The filesystem of the root."""
        return filesystem(self.root, self.options)[0]

    @cached_property
    def base(self) -> str:
        """The root as the filesystem spells it."""
        return self.fs._strip_protocol(self.root).rstrip("/")

    @property
    def local(self) -> bool:
        """Whether the root is a folder of this machine."""
        return isinstance(self.fs, LocalFileSystem)

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Say what is wrong with the store, and what to do, where a call to its filesystem fails in this context."""
        try:
            yield
        except (FileNotFoundError, StoreError):
            raise
        except OSError as error:
            if error.errno in _FULL:
                raise StoreError(f"{self.root}: {full_disk(error.filename or self.base)}") from error
            if self.local:
                raise
            raise self.unavailable(error) from error
        except Exception as error:
            # botocore's errors, and those of its connections, have no base of their own
            if self.local:
                raise
            raise self.unavailable(error) from error

    def unavailable(self, error: BaseException) -> StoreUnavailable:
        """What an error of the store's client means to a person."""
        where = f"The store {self.root} at {self.options.get('endpoint_url') or 'AWS'}"
        said = without_secrets(f"{type(error).__name__}: {error}")
        if type(error).__name__ in _UNKNOWN:
            what = "cannot be asked without credentials. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE"
        elif isinstance(error, PermissionError):
            what = "refuses this. Check that the credentials are right and may read, write and list there"
        elif isinstance(error, FileNotFoundError):
            what = "has no such bucket. Create it, or correct the address in the settings (products)"
        else:
            what = (
                "does not answer as it should, also after retries. Check the address (s3_endpoint), the network and "
                "the service, then run it again: what is published stays"
            )
        return StoreUnavailable(f"{where} {what} ({said})")

    def read(self, path: str) -> bytes | None:
        """Content of a small object; None where there is none."""
        try:
            with self.reached():
                return bytes(self.fs.cat_file(path))
        except FileNotFoundError:
            return None

    def blocks(self, path: str, size: int) -> Iterator[bytes]:
        """Content of an object of any size, in its order; a request that breaks off is repeated, not the whole.

        Args:
            size: its bytes.
        """
        step = PART * (1 if self.local else TOGETHER)
        for first in range(0, size, step):
            starts = list(range(first, min(first + step, size), PART))
            ends = [min(start + PART, size) for start in starts]
            with self.reached():
                yield from self.fs.cat_ranges([path] * len(starts), starts, ends, on_error="raise")

    def sizes(self, path: str) -> dict[str, int]:
        """Sizes of all objects under a folder, by their name relative to it, from one listing."""
        with self.reached():
            found = self.fs.find(path, detail=True)
        return {name[len(path) :].lstrip("/"): entry["size"] for name, entry in found.items()}

    def size(self, path: str) -> int | None:
        """Bytes of one object, asked for by its name, as a listing may lag behind; None where there is none."""
        try:
            with self.reached():
                return int(self.fs.size(path))
        except FileNotFoundError:
            return None

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write one small object so that readers see all of it or what was there before."""
        if not self.local:
            with self._bucket(), self.reached():
                self.fs.pipe_file(path, data)
            return
        with self.reached(), _beside(Path(path), data) as written:
            os.replace(written, path)

    def create_bytes(self, path: str, data: bytes) -> bool:
        """Write one small object where there is none yet, in one step.

        Returns:
            Whether it was written; False where one stands already. A service that knows no such condition overwrites.
        """
        if not self.local:
            return self._create(path, data)
        with self.reached(), _beside(Path(path), data) as written:
            try:
                os.link(written, path)
            except FileExistsError:
                return False
            return True

    def _create(self, path: str, data: bytes) -> bool:
        with self._bucket(), self.reached():
            try:
                self.fs.pipe_file(path, data, mode="create")
            except FileExistsError:
                return False
            except OSError as error:
                if _code(error) in _STANDS:
                    return False
                if error.errno != errno.ENOSYS:
                    raise
                self.fs.pipe_file(path, data)
            return True

    def put(self, source: Path, path: str) -> None:
        """Move one staged file to its place, whole."""
        if not self.local:
            with self._bucket(), self.reached():
                self.fs.put_file(str(source), path, chunksize=PART, max_concurrency=TOGETHER)
            source.unlink()
            return
        with self.reached():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(source, path)

    @contextmanager
    def _bucket(self) -> Iterator[None]:
        """While writing, nothing can be absent but the bucket."""
        try:
            yield
        except FileNotFoundError as error:
            raise self.unavailable(error) from error


@contextmanager
def _beside(target: Path, data: bytes) -> Iterator[Path]:
    """A file of these bytes in the folder of `target`, on disk, to be renamed or linked."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _code(error: BaseException) -> str:
    """The code that S3 answered with, where `error` comes from such an answer."""
    answer = getattr(error.__cause__, "response", None) or {}
    return str(answer.get("Error", {}).get("Code", ""))


def is_full(error: BaseException | None) -> bool:
    """Whether a full disk or quota is what an error comes from."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        error = error.__cause__ or error.__context__
    return False


def full_disk(path: str) -> str:
    """What to say of the full disk that `path` lies on."""
    place = Path(path)
    while not place.exists() and place != place.parent:
        place = place.parent
    return (
        f"no space left on the disk of {place} ({shutil.disk_usage(place).free} bytes free, or the quota is used up). "
        "Make room, or point products or TMPDIR to a larger disk, then run it again: what is published stays"
    )


def fetched(digest: str, name: str) -> Path:
    """Where a fetched object lies on this machine, for this user alone; objects long unused are removed.

    Raises:
        StoreError: the folder belongs to somebody else, who could lay other bytes there.
    """
    home = Path(tempfile.gettempdir(), f"darts-fetched-{os.getuid()}")
    home.mkdir(mode=0o700, exist_ok=True)
    if home.stat().st_uid != os.getuid() or home.is_symlink():
        raise StoreError(f"{home} belongs to somebody else; remove it, or point TMPDIR to a folder of your own")
    place = home / digest / name
    if place.exists():
        os.utime(place.parent)
        return place
    for folder in home.iterdir():
        if time.time() - folder.stat().st_mtime > KEPT:
            shutil.rmtree(folder, ignore_errors=True)
    place.parent.mkdir(exist_ok=True)
    return place
