"""Versioned products on a local disk or in an object store.

A product is named by what it was made from: ``<root>/<asset>/<partition>/<version>/…``, the version being the
`identity` of its inputs, code, parameters and models. A writer fills a staging folder on a local disk; each object
is then published whole (renamed, or put in one request), next the manifest that lists every object with its size and
checksum, and last ``current.json``, the pointer that readers follow. So a reader sees one whole version or none,
what is missing or truncated is an error that names it, and a killed writer leaves nothing visible.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from darts_core.manifests import (
    DamagedProduct,
    Manifest,
    MissingProduct,
    ObjectRecord,
    StoreError,
    check_name,
    file_digest,
    identity,
)

__all__ = [
    "DamagedProduct",
    "Draft",
    "Manifest",
    "MissingProduct",
    "ObjectRecord",
    "Store",
    "StoreError",
    "Version",
    "check_name",
    "identity",
]

MANIFEST = "manifest.json"
POINTER = "current.json"
PARTS = ".parts"
STAGING = ".staging"


@dataclass(frozen=True)
class Store:
    """All products under one root, a local folder or ``s3://bucket/prefix``."""

    root: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the fsspec filesystem, such as endpoint_url; credentials come from the environment."""

    @cached_property
    def fs(self) -> fsspec.AbstractFileSystem:
        """The filesystem of the root. Listings are never cached: other processes write here too."""
        protocol, _ = fsspec.core.split_protocol(self.root)
        return fsspec.filesystem(protocol or "file", **{"use_listings_cache": False, **self.options})

    @cached_property
    def base(self) -> str:
        """The root as the filesystem spells it."""
        return self.fs._strip_protocol(self.root).rstrip("/")

    @property
    def local(self) -> bool:
        """Whether the root is a folder of this machine."""
        return isinstance(self.fs, LocalFileSystem)

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
        pointer = self._read_json(self.path(asset, partition, POINTER))
        if pointer is None:
            raise MissingProduct(
                f"{asset} of {partition} does not exist in {self.root}; materialize {asset} for this partition"
            )
        found = self.committed(asset, partition, pointer["version"])
        if found is None:
            raise DamagedProduct(
                f"{asset} of {partition}: {POINTER} names version {pointer['version']}, whose {MANIFEST} is "
                "missing; materialize it again"
            )
        found.check()
        return found

    def committed(self, asset: str, partition: str, version: str) -> Version | None:
        """A version whose manifest stands, current or not; None where there is none. Its objects are unchecked."""
        manifest = self._read_json(self.path(asset, partition, version, MANIFEST))
        return None if manifest is None else Version(self, Manifest.model_validate(manifest))

    def promote(self, version: Version) -> None:
        """Make a committed version the one that readers see, in one atomic write."""
        pointer = {"version": version.manifest.version}
        self.write_bytes(self.path(version.manifest.asset, version.manifest.partition, POINTER), _json(pointer))

    def partitions(self, asset: str) -> list[str]:
        """Keys of all partitions of an asset that have a current version, sorted: the index of what is made."""
        pointers = self.fs.glob(f"{self.base}/{check_name(asset, 'asset')}/*/{POINTER}")
        return sorted(str(pointer).split("/")[-2] for pointer in pointers)

    @contextmanager
    def draft(self, asset: str, partition: str, version: str) -> Iterator[Draft]:
        """A version to be written; nothing of it is visible until `Draft.commit`."""
        check_name(version, "version")
        with self._staging_folder() as folder:
            yield Draft(self, asset, partition, version, folder)

    @contextmanager
    def _staging_folder(self) -> Iterator[Path]:
        if not self.local:
            with tempfile.TemporaryDirectory(prefix="darts-", ignore_cleanup_errors=True) as folder:
                yield Path(folder)
            return
        parent = Path(self.base, STAGING)
        parent.mkdir(parents=True, exist_ok=True)
        _remove_dead_staging(parent)
        own = parent / f"{socket.gethostname()}+{os.getpid()}+{uuid.uuid4().hex}"
        own.mkdir()
        try:
            yield own
        finally:
            shutil.rmtree(own, ignore_errors=True)

    def _read_json(self, path: str) -> Any:
        try:
            return json.loads(self.fs.cat_file(path))
        except FileNotFoundError:
            return None

    def sizes(self, path: str) -> dict[str, int]:
        """Sizes of all objects under a folder, by their name relative to it, from one listing."""
        found = self.fs.find(path, detail=True)
        return {name[len(path) :].lstrip("/"): entry["size"] for name, entry in found.items()}

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write one small object so that readers see all of it or what was there before."""
        if not self.local:
            self.fs.pipe_file(path, data)
            return
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)

    def put(self, source: Path, path: str) -> None:
        """Move one staged file to its place, whole."""
        if not self.local:
            self.fs.put_file(str(source), path)
            source.unlink()
            return
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        os.replace(source, path)


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
        cached = Path(tempfile.gettempdir(), "darts-fetched", self.manifest.objects[name].sha256, Path(name).name)
        if not cached.exists():
            cached.parent.mkdir(parents=True, exist_ok=True)
            partial = cached.with_suffix(f".{uuid.uuid4().hex}")
            try:
                self.store.fs.get_file(self.path(name), str(partial))
                if file_digest(partial) != self.manifest.objects[name].sha256:
                    self._raise([f"{name} was altered: its checksum differs"])
                os.replace(partial, cached)
            finally:
                partial.unlink(missing_ok=True)
        return cached

    def check(self) -> None:
        """Compare the manifest with one listing of the store.

        Raises:
            DamagedProduct: naming every object that is missing or has another size.
        """
        sizes = self.store.sizes(self.path())
        faults = [
            f"{name} is missing" if name not in sizes else f"{name} has {sizes[name]} bytes, not {record.size}"
            for name, record in self.manifest.objects.items()
            if sizes.get(name) != record.size
        ]
        self._raise(faults)

    def verify(self) -> None:
        """Read every object and compare its checksum; `check` costs one listing, this reads all bytes."""
        self.check()
        self._raise(
            [
                f"{name} was altered: its checksum differs"
                for name, record in self.manifest.objects.items()
                if hashlib.sha256(self.store.fs.cat_file(self.path(name))).hexdigest() != record.sha256
            ]
        )

    def _raise(self, faults: list[str]) -> None:
        if faults:
            shown = "; ".join(faults[:20]) + (f"; and {len(faults) - 20} more" if len(faults) > 20 else "")
            raise DamagedProduct(
                f"{self.manifest.asset} of {self.manifest.partition}, version {self.version}: {shown}. "
                "Materialize it again; that writes what is missing"
            )


@dataclass(frozen=True)
class Draft:
    """One version while it is written: files go to `folder`, `publish` and `commit` carry them to the store."""

    store: Store
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
                # gone where another writer of the same version has just committed
                content = self.store._read_json(self._path(name)) or {}
                records = {key: ObjectRecord.model_validate(record) for key, record in content.items()}
                if records and all(sizes.get(key) == record.size for key, record in records.items()):
                    parts[name[len(PARTS) + 1 : -len(".json")]] = records
        self._parts.update(parts)
        return parts

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
        self.store.fs.cp_file(other.path(name), target)
        self._record(hashlib.sha256(name.encode()).hexdigest()[:16], {name: other.manifest.objects[name]})

    def _record(self, part: str, records: dict[str, ObjectRecord]) -> None:
        content = {name: record.model_dump() for name, record in records.items()}
        self.store.write_bytes(self._path(PARTS, f"{part}.json"), _json(content))
        self._parts[part] = records

    def commit(self, summarize: Callable[[Version], Mapping[str, Any]] = lambda version: {}) -> Version:
        """Publish what is staged, then the manifest, then the pointer; from here on readers see this version.

        Args:
            summarize: makes the manifest's summary from the published, not yet visible version.

        Raises:
            StoreError: nothing was written.
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
        committed = Version(self.store, manifest.model_copy(update={"summary": summary}))
        self.store.write_bytes(self._path(MANIFEST), _json(committed.manifest.model_dump()))
        self.store.promote(committed)
        with suppress(FileNotFoundError):
            self.store.fs.rm(self._path(PARTS), recursive=True)
        return committed

    def _carry(self, staged: Path) -> dict[str, ObjectRecord]:
        files = [staged] if staged.is_file() else sorted(path for path in staged.rglob("*") if path.is_file())
        records = {}
        for file in files:
            name = file.relative_to(self.folder).as_posix()
            records[name] = ObjectRecord(size=file.stat().st_size, sha256=file_digest(file))
            self.store.put(file, self._path(name))
        return records


def _json(content: Any) -> bytes:
    return (json.dumps(content, sort_keys=True, indent=1) + "\n").encode()


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
