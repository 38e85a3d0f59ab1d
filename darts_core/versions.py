"""Products as readers find them: which version is current, and its objects, checked against its manifest."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from darts_core.manifests import (
    MANIFEST,
    DamagedProduct,
    Manifest,
    MissingProduct,
    StoreError,
    check_name,
    document,
    file_digest,
)
from darts_core.objectstore import ObjectStore, fetched, full_disk, is_full

POINTER = "current.json"
SHOWN = 20
"""Objects that an error names."""


@dataclass(frozen=True)
class Version:
    """One committed version of a product, to be read."""

    store: Products
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
                with open(partial, "wb") as file:
                    for block in self.store.blocks(self.path(name), record.size):
                        file.write(block)
                if file_digest(partial) != record.sha256:
                    self._raise([f"{name} was altered: its checksum differs"])
                os.replace(partial, cached)
            except FileNotFoundError:
                self._raise([f"{name} is missing"])
            except OSError as error:
                if not is_full(error, cached.parent):
                    raise
                raise StoreError(f"{name} of {self.url()} was not fetched: {full_disk(cached.parent)}") from error
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


@dataclass(frozen=True)
class Products(ObjectStore):
    """All products under one root: what is committed, and what readers see of it."""

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
