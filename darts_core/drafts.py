"""One version of a product while it is written."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from darts_core.manifests import (
    MANIFEST,
    PARTS,
    DamagedProduct,
    Manifest,
    ObjectRecord,
    StoreError,
    check_name,
    check_object,
    document,
    file_digest,
)
from darts_core.versions import Products, Version

TOGETHER = 8
"""Objects that are put at a time into an object store."""


@dataclass(frozen=True)
class Draft:
    """One version while it is written: files go to `folder`, `publish` and `commit` carry them to the store."""

    store: Products
    asset: str
    partition: str
    version: str
    folder: Path
    """Staging folder on a local disk, empty at first, gone afterwards."""
    _parts: dict[str, dict[str, ObjectRecord]] = field(default_factory=dict, init=False, repr=False)
    """What this draft has seen published, for another writer of the same version may commit and clear the records."""

    def _path(self, *names: str) -> str:
        return self.store.path(self.asset, self.partition, self.version, *names)

    def published(self) -> dict[str, dict[str, ObjectRecord]]:
        """Parts that this or an earlier, interrupted attempt has published whole: name of part to its objects."""
        sizes = self.store.sizes(self._path())
        parts = {}
        for name in sizes:
            if name.startswith(f"{PARTS}/") and name.endswith(".json"):
                records = self._recorded(name)
                if records and all(sizes.get(key) == record.size for key, record in records.items()):
                    parts[name[len(PARTS) + 1 : -len(".json")]] = records
        self._parts.update(parts)
        return parts

    def _recorded(self, name: str) -> dict[str, ObjectRecord]:
        """The objects of a part; none where another writer of the version has just committed, or it is no record."""
        try:
            content = self.store.read_json(self._path(name)) or {}
            return {check_object(key): ObjectRecord.model_validate(record) for key, record in content.items()}
        except (DamagedProduct, ValueError, AttributeError):
            return {}

    def publish(self, part: str) -> None:
        """Publish the staged file or folder `part` now, so that an interrupted run need not make it again.

        Raises:
            StoreError: nothing of this name was staged.
        """
        records = self._carry(self.folder / check_name(part, "part"))
        if not records:
            raise StoreError(f"{self.asset} of {self.partition}: {part} was to be published and was never written")
        self._record(part, records)

    def adopt(self, other: Version, name: str) -> None:
        """Take over one object of another version as it is, without moving its bytes through this process."""
        target = self._path(name)
        if self.store.local:
            staged = self.folder / name
            staged.parent.mkdir(parents=True, exist_ok=True)
            os.link(other.path(name), staged)
            return
        with self.store.reached():
            self.store.fs.cp_file(other.path(name), target)
        self._record(hashlib.sha256(name.encode()).hexdigest()[:16], {name: other.manifest.objects[name]})

    def _record(self, part: str, records: dict[str, ObjectRecord]) -> None:
        content = {name: record.model_dump() for name, record in records.items()}
        self.store.write_bytes(self._path(PARTS, f"{part}.json"), document(content))
        self._parts[part] = records

    def commit(self, summarize: Callable[[Version], Mapping[str, Any]] = lambda version: {}) -> Version:
        """Publish what is staged, then the manifest, then the pointer; from here on readers see this version.

        Of two that commit the same version at once the first manifest stands, and both return it.

        Args:
            summarize: makes the manifest's summary from the published, not yet visible version.

        Raises:
            StoreError: nothing was written, or another run has made other bytes of the same version.
        """
        objects = self._carry(self.folder)
        self.published()
        for records in self._parts.values():
            objects |= records
        if not objects:
            raise StoreError(f"{self.asset} of {self.partition}: nothing was written, so nothing is committed")
        manifest = Manifest(
            asset=self.asset,
            partition=self.partition,
            version=self.version,
            objects=dict(sorted(objects.items())),
            summary={},
        )
        Version(self.store, manifest).check()
        summary = dict(summarize(Version(self.store, manifest)))
        committed = self._establish(Version(self.store, manifest.model_copy(update={"summary": summary})))
        self.store.promote(committed)
        self._forget_parts()
        return committed

    def _forget_parts(self) -> None:
        if self.store.local:
            # another writer of the same version may be at it too
            shutil.rmtree(self._path(PARTS), ignore_errors=True)
            return
        with suppress(FileNotFoundError), self.store.reached():
            self.store.fs.rm(self._path(PARTS), recursive=True)

    def _establish(self, ours: Version) -> Version:
        """Write the manifest where none stands; else the version that stands, or ours where that one is damaged."""
        path, content = self._path(MANIFEST), document(ours.manifest.model_dump())
        if self.store.create_bytes(path, content):
            return ours
        standing = self.store.committed(self.asset, self.partition, self.version)
        if standing is not None and standing.manifest.objects == ours.manifest.objects:
            return standing
        # the objects bear the names of both: whose bytes they are, only these tell
        for version in (ours, standing):
            with suppress(DamagedProduct):
                if version is not None:
                    version.verify()
                    self.store.write_bytes(path, document(version.manifest.model_dump()))
                    return version
        self.store.fs.rm(path)
        raise StoreError(
            f"{self.asset} of {self.partition}, version {self.version}: two runs wrote different bytes of it at the "
            "same time, and neither is whole. Materialize it again, once"
        )

    def _carry(self, staged: Path) -> dict[str, ObjectRecord]:
        files = [staged] if staged.is_file() else sorted(path for path in staged.rglob("*") if path.is_file())
        names = [file.relative_to(self.folder).as_posix() for file in files]
        # each is a request, and takes most of its time on the way
        with ThreadPoolExecutor(1 if self.store.local else TOGETHER) as pool:
            return dict(zip(names, pool.map(self._carry_one, names), strict=True))

    def _carry_one(self, name: str) -> ObjectRecord:
        file = self.folder / name
        record = ObjectRecord(size=file.stat().st_size, sha256=file_digest(file))
        self.store.put(file, self._path(name))
        return record
