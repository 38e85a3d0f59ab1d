"""A folder of delivered files: on disk, in an object store, or in an archive (see `darts_core.scenes.archives`)."""

from __future__ import annotations

import atexit
import json
import shutil
import tarfile
import tempfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import fsspec

from darts_core.remote import RemoteFile
from darts_core.scenes.scene import SceneError, is_tiff

_LARGEST_DOCUMENT = 32 * 2**20
_LARGEST_SCENE = 64 * 2**30

UNREADABLE = (OSError, zipfile.BadZipFile, tarfile.TarError, RuntimeError, NotImplementedError)
"""What reading a damaged or encrypted file raises."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a folder."""

    size: int
    """Bytes."""
    etag: str | None = None
    """The object store's mark of the content."""


class Folder(ABC):
    """Files by name relative to `url`, readable, and as local files on request; close it to remove the copies."""

    def __init__(self, url: str, entries: Mapping[str, Entry]) -> None:
        self.url = url
        self.entries = MappingProxyType(dict(sorted(entries.items())))
        self._documents: dict[str, Any] = {}

    @abstractmethod
    def _read(self, name: str) -> bytes: ...

    def place(self, at: str, names: Iterable[str]) -> tuple[str, tuple[str, ...]]:
        """URL and relative files of a scene whose folder or GeoTIFF is `at`; `names` are relative to this folder."""
        base = at.rpartition("/")[0] if is_tiff(at) else at
        return child_url(self.url, at), tuple(name[len(base) + 1 :] if base else name for name in names)

    def named(self, name: str) -> str:
        """How an error names a file of this folder."""
        return child_url(self.url, name)

    def href(self, name: str) -> str:
        """Where a file lies, for the Item that describes the scene: relative to this folder, or the whole URL."""
        return f"./{name}"

    def paths_of(self, base_name: str) -> list[str]:
        """Every file with this name, in whichever folder."""
        return self._by_base_name.get(base_name, [])

    def documents_in(self, home: str) -> list[str]:
        """The JSON documents that lie in the folder `home`, not below it."""
        return self._documents_by_home.get(home, [])

    @cached_property
    def _documents_by_home(self) -> dict[str, list[str]]:
        documents: dict[str, list[str]] = {}
        for path in self.entries:
            if path.lower().endswith(".json"):
                documents.setdefault(path.rpartition("/")[0], []).append(path)
        return documents

    @cached_property
    def _by_base_name(self) -> dict[str, list[str]]:
        paths: dict[str, list[str]] = {}
        for path in self.entries:
            paths.setdefault(path.rpartition("/")[2], []).append(path)
        return paths

    def read(self, name: str) -> bytes:
        """Content of a small file.

        Raises:
            SceneError: absent, unreadable, or too large for metadata.
        """
        if name not in self.entries:
            raise SceneError(f"{self.named(name)} is missing")
        if self.entries[name].size > _LARGEST_DOCUMENT:
            raise SceneError(f"{self.named(name)} has {self.entries[name].size} bytes, too many for metadata")
        try:
            return self._read(name)
        except UNREADABLE as error:
            raise SceneError(f"{self.named(name)} cannot be read: {error}") from error

    def read_json(self, name: str) -> Any:
        """A JSON document, parsed once."""
        if name not in self._documents:
            try:
                self._documents[name] = json.loads(self.read(name))
            except (ValueError, RecursionError) as error:
                raise SceneError(f"{self.named(name)} is not valid JSON: {error}") from error
        return self._documents[name]

    @abstractmethod
    def local(self, names: Iterable[str]) -> Mapping[str, Path | RemoteFile]:
        """The files as rasters are opened: on this machine, where they are or as copies that live until `close` or the
        process ends; or remote ones that are read by windows."""

    @abstractmethod
    def close(self) -> None:
        """Remove the copies, if any were made."""


class CopiedFolder(Folder):
    """A folder whose files are copied to a temporary folder before GDAL reads them."""

    def __init__(self, url: str, entries: Mapping[str, Entry]) -> None:
        super().__init__(url, entries)
        self._remove: partial[None] | None = None

    @abstractmethod
    def _copy(self, names: list[str], into: Path) -> None: ...

    def local(self, names: Iterable[str]) -> dict[str, Path]:
        wanted = sorted(set(names))
        self._check_sizes(wanted)
        into = Path(tempfile.mkdtemp(prefix="darts-scene-"))
        self._remove = partial(shutil.rmtree, into, ignore_errors=True)
        atexit.register(self._remove)
        try:
            self._copy(wanted, into)
        except UNREADABLE as error:
            self.close()
            raise SceneError(f"{self.url} cannot be fetched: {error}") from error
        for name in wanted:
            found, expected = (into / name).stat().st_size, self.entries[name].size
            if found != expected:
                self.close()
                raise SceneError(f"{self.named(name)}: received {found} of {expected} bytes. Try again")
        return {name: into / name for name in wanted}

    def _check_sizes(self, names: list[str]) -> None:
        total = sum(self.entries[name].size for name in names)
        free = shutil.disk_usage(tempfile.gettempdir()).free
        if total > min(free, _LARGEST_SCENE):
            raise SceneError(
                f"{self.url}: reading needs a copy of {total} bytes; {free} are free in {tempfile.gettempdir()} and "
                f"{_LARGEST_SCENE} are the most a scene may have. Make room, or point TMPDIR to a larger disk"
            )

    def close(self) -> None:
        if self._remove is not None:
            atexit.unregister(self._remove)
            self._remove()
            self._remove = None


class LocalFolder(Folder):
    """A folder on this machine, read where it is."""

    def _read(self, name: str) -> bytes:
        return Path(self.url, name).read_bytes()

    def local(self, names: Iterable[str]) -> dict[str, Path]:
        return {name: Path(self.url, name) for name in names}

    def close(self) -> None:
        """Nothing was copied."""


class RemoteFolder(CopiedFolder):
    """A prefix of an object store."""

    def __init__(self, url: str, entries: Mapping[str, Entry], fs: fsspec.AbstractFileSystem) -> None:
        super().__init__(url, entries)
        self._fs = fs

    def _read(self, name: str) -> bytes:
        return self._fs.cat_file(child_url(self.url, name))

    def _copy(self, names: list[str], into: Path) -> None:
        for name in names:
            (into / name).parent.mkdir(parents=True, exist_ok=True)
        self._fs.get([child_url(self.url, name) for name in names], [str(into / name) for name in names])


def child_url(url: str, name: str) -> str:
    """URL of a file or folder in a folder."""
    return f"{url.rstrip('/')}/{name}" if name else url


def smallest_home(tiff: str, files: Sequence[str]) -> str:
    """`tiff` itself where all of a scene's files lie in its folder or below, else the folder that holds them all."""
    home = tiff.rpartition("/")[0]
    common = home.split("/") if home else []
    while common and not all(name.startswith("/".join(common) + "/") for name in files):
        common.pop()
    return tiff if "/".join(common) == home else "/".join(common)
