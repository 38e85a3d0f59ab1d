"""Products that are files of their own format: checkpoints and reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from darts_core.store import Draft, Version
from io_managers.base import ProductIOManager


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file of a committed version."""

    path: Path
    """On a local disk; fetched there when the store is remote."""
    attrs: dict[str, str]


class FileIOManager(ProductIOManager):
    """Stores the one file that the value, called with a folder, writes into it."""

    def write(self, draft: Draft, value: Callable[[Path], Path], contract: str | None) -> None:
        """Let the step write its file."""
        value(draft.folder)

    def read(self, version: Version, contract: str | None) -> StoredFile:
        """The file, on a local disk."""
        (name,) = version.manifest.objects
        return StoredFile(version.fetch(name), {"version": version.version})
