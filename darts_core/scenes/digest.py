"""The identity of what was delivered."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from darts_core.scenes.folders import Folder, LocalFolder
from darts_core.scenes.opening import open_scene, open_tree
from darts_core.scenes.scene import Scene, SceneError, is_archive


def scene_digest(scene: Scene, storage_options: Mapping[str, Any] | None = None) -> str:
    """What names a delivery: the same for the same files anywhere, another one as soon as a byte differs.

    Made of the names of the scene's files and, on disk, their content; in an object store, their size and ETag. A
    file that the metadata names and that was not delivered counts as absent. The content of an archive is the archive.

    Returns:
        32 hexadecimal digits.

    Raises:
        SceneError: nothing of the scene is there.
    """
    folder, delivered = _delivered(scene, storage_options)
    digest = hashlib.blake2b("\0".join((scene.reader, *scene.files)).encode(), digest_size=16)
    for name in sorted(delivered):
        digest.update(f"\0{name}\0{_content(folder, name)}".encode())
    return digest.hexdigest()


def _delivered(scene: Scene, storage_options: Mapping[str, Any] | None) -> tuple[Folder, tuple[str, ...]]:
    home, _, name = scene.url.rpartition("/")
    if not is_archive(name):
        return open_scene(scene, storage_options), scene.files
    folder = open_tree(home, storage_options, deep=False)
    if name not in folder.entries:
        raise SceneError(f"{scene.url} is not there any more. Was it moved? Find the scene again")
    return folder, (name,)


def _content(folder: Folder, name: str) -> str:
    entry = folder.entries.get(name)
    if entry is None:
        return "absent"
    if isinstance(folder, LocalFolder):
        with Path(folder.url, name).open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).hexdigest()
    return f"{entry.size} {entry.etag}"
