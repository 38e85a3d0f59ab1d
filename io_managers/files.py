"""Products that are files of their own format: checkpoints and reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from darts_core.store import Draft, MissingProduct, Version
from io_managers.base import ProductIOManager


@dataclass(frozen=True, slots=True)
class StoredFile:
    """The main file of a committed version, and what lies beside it."""

    version: Version
    suffix: str
    """Of the main file: the contract of the product."""

    @property
    def attrs(self) -> dict[str, str]:
        """As every product that was read: its version."""
        return {"version": self.version.version}

    @property
    def path(self) -> Path:
        """The main file, on a local disk; fetched there when the store is remote."""
        return self.beside(self.suffix)

    def beside(self, suffix: str) -> Path:
        """The one file with another suffix.

        Raises:
            MissingProduct: there is none, or more than one.
        """
        manifest = self.version.manifest
        found = [name for name in manifest.objects if name.endswith(suffix)]
        if len(found) != 1:
            raise MissingProduct(
                f"{manifest.asset} of {manifest.partition}, version {manifest.version}: expected one file *{suffix}, "
                f"there are {', '.join(found) or 'none'} among {', '.join(manifest.objects)}. Materialize it again"
            )
        return self.version.fetch(found[0])


class FileIOManager(ProductIOManager):
    """Stores the files that the value, called with a folder, writes into it; the contract is the main one's suffix."""

    def write(self, draft: Draft, value: Callable[[Path], object], contract: str | None) -> None:
        """Let the step write its files."""
        value(draft.folder)

    def read(self, version: Version, contract: str | None) -> StoredFile:
        """The files, on a local disk."""
        return StoredFile(version, str(contract))
