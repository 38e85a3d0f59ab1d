"""Open a folder of delivered files by its URL, listing no more than is needed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from darts_core import remote
from darts_core.scenes.archives import ArchiveFolder, TarFolder, ZipFolder
from darts_core.scenes.folders import Entry, Folder, LocalFolder, RemoteFolder, child_url
from darts_core.scenes.itemfolder import ItemFolder
from darts_core.scenes.scene import CATALOGUE_READER, Scene, SceneError, is_archive

_READ_AHEAD = 4 * 2**20


def filesystem(url: str, options: Mapping[str, Any] | None) -> tuple[fsspec.AbstractFileSystem, str]:
    """The filesystem of a URL, which never answers from an old listing, and the URL in its plain form."""
    try:
        fs, path = remote.filesystem(url, options)
    except (ValueError, ImportError) as error:
        raise SceneError(f"{url} is neither a local path nor a URL like s3://bucket/prefix: {error}") from error
    if isinstance(fs, LocalFileSystem):
        return fs, os.path.abspath(path)
    return fs, fs.unstrip_protocol(path).rstrip("/")


def open_tree(url: str, options: Mapping[str, Any] | None, *, deep: bool = True) -> Folder:
    """The folder at `url` with every file below it, or only its own files where not `deep`."""
    fs, url = filesystem(url, options)
    if isinstance(fs, LocalFileSystem):
        return LocalFolder(url, dict(_walk(url, deep)))
    found = fs.find(url, maxdepth=None if deep else 1, detail=True)
    return RemoteFolder(url, _entries(url, fs, found.values()), fs)


def _walk(root: str, deep: bool) -> Iterable[tuple[str, Entry]]:
    seen: set[str] = set()
    for parent, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(parent)
        # a link to a folder above would otherwise be walked without end
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        for name in names:
            path = os.path.join(parent, name)
            if os.path.isfile(path):
                yield os.path.relpath(path, root).replace(os.sep, "/"), Entry(os.path.getsize(path))
        if not deep:
            folders.clear()


def _entries(url: str, fs: fsspec.AbstractFileSystem, infos: Iterable[Mapping[str, Any]]) -> dict[str, Entry]:
    root = fs._strip_protocol(url) + "/"
    return {
        info["name"].removeprefix(root): Entry(int(info["size"]), str(info.get("ETag", "")).strip('"') or None)
        for info in infos
        if info["type"] == "file" and info["name"] != root
    }


def open_archive(url: str, options: Mapping[str, Any] | None) -> ArchiveFolder:
    """The files of the zip or tar at `url`."""
    fs, url = filesystem(url, options)
    kind = TarFolder if url.lower().endswith(".tar") else ZipFolder
    try:
        return kind(url, fs.open(url, "rb", block_size=_READ_AHEAD))
    except OSError as error:
        raise SceneError(f"{url} cannot be opened: {error}") from error


def open_scene(scene: Scene, options: Mapping[str, Any] | None) -> Folder:
    """The folder of a scene, listing only the folders that its files lie in.

    Raises:
        SceneError: nothing of the scene is there any more.
    """
    if scene.reader == CATALOGUE_READER:
        return ItemFolder.open(scene.url, scene.files, options)
    fs, base = filesystem(scene.base, options)
    if is_archive(base):
        return open_archive(base, options)
    entries: dict[str, Entry] = {}
    for parent in sorted({name.rpartition("/")[0] for name in scene.files}):
        listed = open_tree(child_url(base, parent), options, deep=False)
        entries |= {f"{parent}/{name}" if parent else name: entry for name, entry in listed.entries.items()}
    if not entries.keys() & set(scene.files):
        raise SceneError(f"{scene.url}: nothing of scene {scene.key} is there any more. Was it moved? Find it again")
    if isinstance(fs, LocalFileSystem):
        return LocalFolder(base, entries)
    return RemoteFolder(base, entries, fs)
