"""One committed version of a product: its objects, read and checked against its manifest."""

from __future__ import annotations

import hashlib
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from darts_core.manifests import DamagedProduct, Manifest, file_digest
from darts_core.objectstore import fetched

if TYPE_CHECKING:
    from darts_core.store import Store

SHOWN = 20
"""Objects that an error names."""


@dataclass(frozen=True)
class Version:
    """One committed version of a product, to be read."""

    store: Store
    manifest: Manifest

    @property
    def version(self) -> str:
        """The identity that names it."""
        return self.manifest.version

    def path(self, *names: str) -> str:
        """Path of an object, as the store's filesystem spells it."""
        return self.store.path(self.manifest.asset, self.manifest.partition, self.version, *names)

    def url(self, *names: str) -> str:
        """Path of an object with its protocol, for libraries that open URLs; a plain path on a local disk."""
        return self.path(*names) if self.store.local else str(self.store.fs.unstrip_protocol(self.path(*names)))

    def fetch(self, name: str) -> Path:
        """A local path of one object, for libraries that want a file; downloaded once, by checksum, when remote."""
        if self.store.local:
            return Path(self.path(name))
        record = self.manifest.objects[name]
        cached = fetched(record.sha256, Path(name).name)
        if not cached.exists():
            partial = cached.with_suffix(f".{uuid.uuid4().hex}")
            try:
                with self.store.reached(), open(partial, "wb") as file:
                    for block in self.store.blocks(self.path(name), record.size):
                        file.write(block)
                if file_digest(partial) != record.sha256:
                    self._raise([f"{name} was altered: its checksum differs"])
                os.replace(partial, cached)
            except FileNotFoundError:
                self._raise([f"{name} is missing"])
            finally:
                partial.unlink(missing_ok=True)
        return cached

    def check(self) -> None:
        """Compare the manifest with one listing of the store; what it does not show is asked for by its name.

        Raises:
            DamagedProduct: naming objects that are missing or have another size, `SHOWN` of them at most.
        """
        sizes = self.store.sizes(self.path())
        faults = []
        for name, record in self.manifest.objects.items():
            if sizes.get(name) == record.size:
                continue
            # a listing may lag behind what was put
            size = self.store.size(self.path(name))
            if size != record.size:
                faults.append(f"{name} is missing" if size is None else f"{name} has {size} bytes, not {record.size}")
            if len(faults) == SHOWN:
                break
        self._raise(faults)

    def verify(self) -> None:
        """Read every object and compare its checksum; `check` costs one listing, this reads all bytes.

        Raises:
            DamagedProduct: naming objects that are missing or altered.
        """
        self.check()
        altered = [name for name, record in self.manifest.objects.items() if self._digest(name) != record.sha256]
        self._raise([f"{name} was altered: its checksum differs" for name in altered])

    def _digest(self, name: str) -> str:
        digest = hashlib.sha256()
        for block in self.store.blocks(self.path(name), self.manifest.objects[name].size):
            digest.update(block)
        return digest.hexdigest()

    def _raise(self, faults: list[str]) -> None:
        if faults:
            shown = "; ".join(faults[:SHOWN]) + ("; and there may be more" if len(faults) >= SHOWN else "")
            raise DamagedProduct(
                f"{self.manifest.asset} of {self.manifest.partition}, version {self.version}: {shown}. "
                "Materialize it again; that writes what is missing"
            )
