"""Versioned products on a local disk or in an object store.

A product is named by what it was made from: ``<root>/<asset>/<partition>/<version>/…``, the version being the
`identity` of its inputs, code, parameters and models. A writer fills a staging folder on a local disk; each object
is then published whole (renamed, or put in one request), next the manifest that lists every object with its size and
checksum, and last ``current.json``, the pointer that readers follow. So a reader sees one whole version or none,
what is missing or truncated is an error that names it, and a killed writer leaves nothing visible.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from darts_core.drafts import Draft
from darts_core.errors import DartsError
from darts_core.manifests import (
    MANIFEST,
    PARTS,
    DamagedProduct,
    Manifest,
    MissingProduct,
    ObjectRecord,
    StoreError,
    StoreUnavailable,
    check_name,
    document,
    identity,
)
from darts_core.objectstore import ObjectStore, full_disk, is_full
from darts_core.versions import Version

__all__ = [
    "JOBS",
    "MANIFEST",
    "PARTS",
    "POINTER",
    "STAGING",
    "DamagedProduct",
    "Draft",
    "Manifest",
    "MissingProduct",
    "ObjectRecord",
    "Store",
    "StoreError",
    "StoreUnavailable",
    "Version",
    "check_name",
    "identity",
]

POINTER = "current.json"
STAGING = ".staging"
JOBS = ".jobs"
"""Where jobs in processes of their own are laid for as long as they run."""


@dataclass(frozen=True)
class Store(ObjectStore):
    """All products under one root, a local folder or ``s3://bucket/prefix``."""

    def path(self, asset: str, partition: str, *rest: str) -> str:
        """Path of a product, or of something in it, as the filesystem spells it."""
        check_name(asset, "asset"), check_name(partition, "partition key")
        return "/".join((self.base, asset, partition, *rest))

    def current(self, asset: str, partition: str) -> Version:
        """The version that readers see now, checked to be whole.

        Raises:
            MissingProduct: nothing was made yet.
            DamagedProduct: an object of it is missing or has another size.
        """
        pointer = self.read_json(self.path(asset, partition, POINTER))
        if pointer is None:
            raise MissingProduct(
                f"{asset} of {partition} does not exist in {self.root}; materialize {asset} for this partition"
            )
        version = pointer.get("version") if isinstance(pointer, dict) else None
        found = self._standing(asset, partition, str(version or ""))
        if found is None:
            raise DamagedProduct(
                f"{asset} of {partition}: {POINTER} names version {version}, whose {MANIFEST} is "
                "missing; materialize it again"
            )
        found.check()
        return found

    def committed(self, asset: str, partition: str, version: str) -> Version | None:
        """A version whose manifest stands, current or not; None where there is none, or something else lies there.

        Its objects are unchecked.
        """
        try:
            return self._standing(asset, partition, version)
        except DamagedProduct:
            return None

    def _standing(self, asset: str, partition: str, version: str) -> Version | None:
        path = self.path(asset, partition, check_name(version, "version"), MANIFEST)
        written = self.read_json(path)
        if written is None:
            return None
        try:
            manifest = Manifest.model_validate(written)
        except ValidationError as error:
            raise DamagedProduct(f"{path} is no manifest: {error}. Materialize {asset} of {partition} again") from error
        if (manifest.asset, manifest.partition, manifest.version) != (asset, partition, version):
            raise DamagedProduct(
                f"{path} is the manifest of {manifest.asset} of {manifest.partition}, version {manifest.version}; "
                "materialize it again"
            )
        return Version(self, manifest)

    def promote(self, version: Version) -> None:
        """Make a committed version the one that readers see, in one atomic write."""
        pointer = {"version": version.manifest.version}
        self.write_bytes(self.path(version.manifest.asset, version.manifest.partition, POINTER), document(pointer))

    def partitions(self, asset: str) -> list[str]:
        """Keys of all partitions of an asset that have a current version, sorted: the index of what is made."""
        folder = f"{self.base}/{check_name(asset, 'asset')}"
        try:
            with self.reached():
                keys = [str(path).rstrip("/").rpartition("/")[2] for path in self.fs.ls(folder, detail=False)]
                # to look into each folder would be a listing each, one after the other
                pointers = {f"{folder}/{key}/{POINTER}": key for key in keys if not key.startswith(".")}
                found = self.fs.cat(list(pointers), on_error="omit") if pointers else {}
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(pointers[path] for path in found)

    @contextmanager
    def draft(self, asset: str, partition: str, version: str) -> Iterator[Draft]:
        """A version to be written; nothing of it is visible until `Draft.commit`.

        Raises:
            StoreError: the disk became full.
        """
        check_name(version, "version")
        with self._staging_folder() as folder:
            try:
                yield Draft(self, asset, partition, version, folder)
            except Exception as error:
                if isinstance(error, DartsError) or not is_full(error, folder):
                    raise
                raise StoreError(f"{asset} of {partition} was not stored: {full_disk(folder)}") from error

    @property
    def _staging(self) -> Path:
        return Path(self.base, STAGING) if self.local else Path(tempfile.gettempdir(), f"darts-staging-{os.getuid()}")

    @contextmanager
    def _staging_folder(self) -> Iterator[Path]:
        parent = self._staging
        parent.mkdir(parents=True, exist_ok=True)
        _remove_dead_staging(parent)
        own = parent / f"{socket.gethostname()}+{os.getpid()}+{uuid.uuid4().hex}"
        own.mkdir()
        try:
            yield own
        finally:
            remove_folder(own)

    def read_json(self, path: str) -> Any:
        """A JSON document of the store; None where there is none.

        Raises:
            DamagedProduct: it is not JSON.
        """
        content = self.read(path)
        try:
            return None if content is None else json.loads(content)
        except (ValueError, RecursionError) as error:
            raise DamagedProduct(f"{path} is not valid JSON: {error}. Materialize this partition again") from error


def remove_folder(folder: Path) -> None:
    """Remove a folder into which threads of a step that failed may still write for a moment."""
    for _ in range(50):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)


def _remove_dead_staging(parent: Path) -> None:
    """Remove what killed writers of this machine left behind."""
    for folder in parent.iterdir():
        host, _, rest = folder.name.partition("+")
        writer = rest.partition("+")[0]
        if host == socket.gethostname() and writer.isdigit() and not _alive(int(writer)):
            shutil.rmtree(folder, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
