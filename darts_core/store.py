"""Versioned products on a local disk or in an object store.

A product is named by what it was made from: ``<root>/<asset>/<partition>/<version>/…``, the version being the
`identity` of its inputs, code, parameters and models. A writer fills a staging folder on a local disk; each object
is then published whole (renamed, or put in one request), next the manifest that lists every object with its size and
checksum, and last ``current.json``, the pointer that readers follow. So a reader sees one whole version or none,
what is missing or truncated is an error that names it, and a killed writer leaves nothing visible.
"""

from __future__ import annotations

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
    identity,
)
from darts_core.objectstore import full_disk, is_full
from darts_core.versions import POINTER, Products, Version

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

STAGING = ".staging"
JOBS = ".jobs"
"""Where jobs in processes of their own are laid for as long as they run."""


@dataclass(frozen=True)
class Store(Products):
    """All products under one root, a local folder or ``s3://bucket/prefix``, to be read and written."""

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
