"""What arrives in a folder or prefix, told without opening what is known already.

An entry is what is delivered together: a folder that holds files, an archive, or a GeoTIFF or MTL that lies in a folder
of branches. A tick lists the branches, which costs nothing an entry that is known; only what is new is opened.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol

from fsspec.implementations.local import LocalFileSystem

from darts_core.errors import DartsError
from darts_core.scenes import landsat, planet
from darts_core.scenes.finding import describe_in, find_scenes
from darts_core.scenes.folders import Folder, child_url
from darts_core.scenes.opening import filesystem, open_tree
from darts_core.scenes.scene import Findings, SceneError, Unreachable, is_archive, is_tiff

_DEEPEST = 12
"""Levels of branches: a link that leads upwards must end."""


class Arrivals(Protocol):
    """A place that scenes arrive in."""

    latest: str | None
    """Where a search goes on that was told to begin; None of a place that is listed."""

    def entries(self, known: Collection[str]) -> dict[str, str]:
        """Everything that is there now, by name, with a mark that is cheap and changes when an entry is replaced.

        Raises:
            DartsError: it cannot be reached.
        """

    def signature(self, entry: str) -> str:
        """What tells a delivery from an earlier one under the same name, by names, sizes and times of its files.

        Raises:
            Unreachable: it does not answer.
        """

    def find(self, entry: str) -> Findings:
        """The scenes of one entry, and what was refused and why.

        Raises:
            Unreachable: it does not answer.
            DartsError: it holds no scene.
        """


class Inbox:
    """A folder, or a prefix of an object store."""

    latest: str | None = None

    def __init__(self, url: str, storage_options: Mapping[str, Any] | None = None) -> None:
        self._options = storage_options
        self._fs, self.url = filesystem(url, storage_options)
        self._local = isinstance(self._fs, LocalFileSystem)
        self._folders: dict[str, Folder] = {}

    def entries(self, known: Collection[str]) -> dict[str, str]:
        """Folders end in ``/``; one that is known is not entered."""
        try:
            found = dict(self._walk("", known, 0))
        except Exception as error:
            # every object store has errors of its own for a missing credential, a wrong endpoint, a closed door
            raise _unreachable(self.url, error) from error
        if not found and self._local and not os.path.isdir(self.url):
            raise SceneError(f"{self.url} does not exist. Expected a folder that scenes arrive in")
        return found

    def _walk(self, branch: str, known: Collection[str], depth: int) -> Iterable[tuple[str, str]]:
        try:
            folders, files = self._list(branch)
        except PermissionError:
            if not branch:
                raise
            folders, files = [], [(branch, "")]  # looking into it says why it is left out
        if branch and files:
            # its own files make it a delivery; what lies below belongs to it
            yield branch, ""  # it is marked by the listing that it was found in
            return
        marks = dict(files)
        yield from ((name, marks[name]) for name in _candidates(marks))
        for name, mark in folders:
            if name in known or name.upper().endswith(".SAFE/"):
                yield name, mark
            elif depth < _DEEPEST:
                # the mark of its listing, which its branch gave
                yield from (
                    (entry, mark if entry == name else own) for entry, own in self._walk(name, known, depth + 1)
                )

    def _list(self, branch: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """(name, mark) of the folders, with ``/``, and of the files in a branch."""
        folders: list[tuple[str, str]] = []
        files: list[tuple[str, str]] = []
        if self._local:
            if not os.path.isdir(child_url(self.url, branch)):
                return [], []
            with os.scandir(child_url(self.url, branch)) as listing:
                for item in listing:
                    if not item.name.startswith("."):
                        is_folder = item.is_dir()
                        name = branch + item.name + "/" * is_folder
                        (folders if is_folder else files).append((name, _local_mark(item)))
            return folders, files
        root = self._fs._strip_protocol(self.url) + "/"
        for info in self._fs.ls(child_url(self.url, branch), detail=True):
            name = info["name"].removeprefix(root).rstrip("/")
            if info["type"] == "directory":
                folders.append((name + "/", ""))
            elif name and name != branch.rstrip("/"):
                files.append((name, _mark(info)))
        return folders, files

    def signature(self, entry: str) -> str:
        """Of every file below a folder; of a file, those beside it whose names begin as its own does."""
        try:
            files = self._files_below(entry) if entry.endswith("/") else self._files_beside(entry)
        except Exception as error:
            raise _unreachable(child_url(self.url, entry), error) from error
        digest = hashlib.blake2b(digest_size=16)
        for name, mark in sorted(files):
            digest.update(f"{name}\0{mark}\0".encode())
        return digest.hexdigest()

    def _files_below(self, entry: str) -> Iterable[tuple[str, str]]:
        place = child_url(self.url, entry).rstrip("/")
        if not self._local:
            found = self._fs.find(place, detail=True)
            return [(name, _mark(info)) for name, info in found.items()]
        files = []
        for parent, _, names in os.walk(place):
            for name in names:
                path = os.path.join(parent, name)
                files.append((os.path.relpath(path, place), _local_mark(path)))
        return files

    def _files_beside(self, entry: str) -> Iterable[tuple[str, str]]:
        branch, slash, name = entry.rpartition("/")
        beginning = branch + slash + (landsat.product_of(name) or name.rpartition(".")[0])
        return [(file, mark) for file, mark in self._list(branch + slash)[1] if file.startswith(beginning)]

    def find(self, entry: str) -> Findings:
        """As `find_scenes` does it for a whole folder."""
        try:
            if entry.endswith("/") or is_archive(entry):
                return find_scenes(child_url(self.url, entry.rstrip("/")), self._options)
            branch, _, name = entry.rpartition("/")
            if branch not in self._folders:
                self._folders[branch] = open_tree(child_url(self.url, branch), self._options, deep=False)
            return describe_in(self._folders[branch], [name])
        except DartsError:
            raise
        except Exception as error:
            # what no reader foresaw in a file must not keep the entries after it from being found
            if self._local or isinstance(error, (ValueError, LookupError, TypeError, AttributeError)):
                raise SceneError(
                    f"{child_url(self.url, entry)} cannot be read as a scene ({type(error).__name__}: {error})"
                ) from error
            raise _unreachable(child_url(self.url, entry), error) from error


def _mark(info: Mapping[str, Any]) -> str:
    return f"{info.get('size')} {info.get('ETag') or info.get('mtime') or info.get('LastModified')}"


def _local_mark(file: str | os.DirEntry[str]) -> str:
    """Size and time of a file, time of a folder; of a link that leads nowhere, that it does."""
    try:
        found = file.stat() if isinstance(file, os.DirEntry) else os.stat(file)
    except OSError:
        return "absent"
    return f"{found.st_mtime_ns}" if stat.S_ISDIR(found.st_mode) else f"{found.st_size} {found.st_mtime_ns}"


def _candidates(names: Collection[str]) -> Iterable[str]:
    products = landsat.documents(names)
    yield from products.values()
    for name in names:
        of_product = landsat.product_of(name) in products
        if not of_product and (is_archive(name) or (is_tiff(name) and not planet.is_companion(name))):
            yield name


def _unreachable(url: str, error: Exception) -> Unreachable:
    return Unreachable(
        f"{url} cannot be reached ({type(error).__name__}: {error}). Check the address, the endpoint (s3_endpoint) and "
        "the credentials (AWS_… variables or a profile)"
    )
