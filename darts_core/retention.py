"""What a store holds that nobody needs any more: superseded versions, and what interrupted writers left.

A version stays while it is current, while it or the one that replaced it is young, and while a current product or
release was made from it. Which that is, a version says itself: `note_made_from` writes it into its folder.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from darts_core.errors import DartsError
from darts_core.store import JOBS, MANIFEST, POINTER, STAGING, Store
from darts_core.versions import Products

MADE_FROM = "made_from.json"
SHORTEST = timedelta(days=1)
"""No run takes so long: what is older is neither written nor read."""

_AT_ONCE = 16
"""Partitions that are listed at once: an object store answers many as fast as one."""


class RetentionError(DartsError):
    """A clean-up that is not safe."""


class Kind(StrEnum):
    """Why something may go."""

    SUPERSEDED = "superseded"
    """A whole version that another one replaced."""
    UNFINISHED = "unfinished"
    """A version without a manifest: its writer was interrupted and never came back."""
    STAGING = "staging"
    """A folder in which a writer on another or a restarted machine prepared a version."""
    DOWNLOAD = "download"
    """A copy of an object on this machine."""
    JOB = "job"
    """What was laid for a job on a cluster whose run never came back."""


@dataclass(frozen=True, slots=True)
class Removable:
    """Something that may go."""

    kind: Kind
    path: str
    """As the store's filesystem spells it; of a download, on this machine."""
    size: int
    """Bytes."""
    product: tuple[str, str, str] | None = None
    """Asset, partition and version, where it is one."""

    def __str__(self) -> str:
        return f"{self.kind}: {'/'.join(self.product) if self.product else self.path} ({self.size} bytes)"


@dataclass(frozen=True, slots=True)
class _Seen:
    """One version of a partition."""

    version: str
    written: datetime
    """When its manifest was, or its latest object where it has none."""
    size: int
    whole: bool


def note_made_from(store: Products, asset: str, partition: str, version: str, made_from: Mapping[str, str]) -> None:
    """Write down what a version is made from, by name: versions of products, digests of models."""
    content = json.dumps(dict(made_from), sort_keys=True).encode()
    store.write_bytes(store.path(asset, partition, version, MADE_FROM), content)


def find_removable(
    store: Store, older_than: timedelta, *, also_made_from: bool = False, now: datetime | None = None
) -> list[Removable]:
    """What may go, by path; nothing is removed.

    Args:
        older_than: at least a day. A version may go when so long ago both it was written and what replaced it.
        also_made_from: whether also what a current product or release was made from may go.
        now: the present, aware.

    Raises:
        RetentionError: `older_than` is shorter than what a run may take.
    """
    if older_than < SHORTEST:
        raise RetentionError(f"Expected to keep at least {SHORTEST.days} day, received {older_than}")
    before = (now or datetime.now(UTC)) - older_than
    assets = [name for name in _folders(store, store.base) if not name.startswith(".")]
    looks = [_Look(store, asset, name) for asset in assets for name in _folders(store, f"{store.base}/{asset}")]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        old = [(look, seen) for look, found in zip(looks, pool.map(_Look.old, looks), strict=True) for seen in found]
        old = [(look, seen) for look, seen in old if look.superseded_before(seen, before)]
        needed = frozenset() if also_made_from else _needed(looks, {look.partition for look, _ in old}, pool)
    found = [
        Removable(
            Kind.SUPERSEDED if seen.whole else Kind.UNFINISHED,
            store.path(look.asset, look.partition, seen.version),
            seen.size,
            (look.asset, look.partition, seen.version),
        )
        for look, seen in old
        if not seen.whole or not needed or needed.isdisjoint(look.names(seen.version))
    ]
    left = (*_staging(store, before), *_downloads(before), *_jobs(store, before))
    return sorted([*found, *left], key=lambda one: one.path)


def remove(store: Store, removable: Removable) -> bool:
    """Remove one thing; whether it is gone. A version that became current meanwhile stays.

    The manifest goes first, so that nobody promotes what is about to go; what became current before that is put back.
    """
    if removable.kind is Kind.DOWNLOAD:
        shutil.rmtree(removable.path, ignore_errors=True)
        return True
    if removable.product is not None:
        look = _Look(store, *removable.product[:2])
        manifest, version = f"{removable.path}/{MANIFEST}", removable.product[2]
        if look.current == version:
            return False
        if removable.kind is Kind.SUPERSEDED:
            content = store.fs.cat_file(manifest)
            store.fs.rm_file(manifest)
            if _Look(store, *removable.product[:2]).current == version:
                store.write_bytes(manifest, content)
                return False
        elif store.fs.exists(manifest):
            return False
    with suppress(FileNotFoundError):
        store.fs.rm(removable.path, recursive=True)
    return True


@dataclass
class _Look:
    """One partition."""

    store: Store
    asset: str
    partition: str

    @cached_property
    def path(self) -> str:
        return f"{self.store.base}/{self.asset}/{self.partition}"

    @cached_property
    def current(self) -> str | None:
        """The version that readers see."""
        pointer = self._json(f"{self.path}/{POINTER}")
        return None if pointer is None else str(pointer["version"])

    def old(self) -> list[_Seen]:
        """Its versions that are not current; a partition of one version costs one listing."""
        others = [name for name in _folders(self.store, self.path) if not name.startswith(".")]
        if len(others) < 2 and self.store.fs.exists(f"{self.path}/{POINTER}"):
            return []
        return [self._seen(name) for name in others if name != self.current]

    def superseded_before(self, seen: _Seen, before: datetime) -> bool:
        """Whether both a version and the current one were written before a moment."""
        if seen.whole and self.current is None:
            return False  # a pointer that is missing is a damage, and this version what may repair it
        return seen.written < before and (not seen.whole or self._current_written < before)

    @cached_property
    def _current_written(self) -> datetime:
        return self._seen(str(self.current)).written

    def _seen(self, version: str) -> _Seen:
        objects = self.store.fs.find(f"{self.path}/{version}", detail=True)
        manifest = next((info for name, info in objects.items() if name == f"{self.path}/{version}/{MANIFEST}"), None)
        times = [_time(info) for info in ([manifest] if manifest else objects.values())]
        written = max(times, default=datetime.fromtimestamp(0, UTC))
        return _Seen(version, written, _size(objects), manifest is not None)

    def made_from(self) -> frozenset[str] | None:
        """What the current version was made from; None where it does not say."""
        if self.current is None:
            return frozenset()
        content = self._json(f"{self.path}/{self.current}/{MADE_FROM}")
        return None if content is None else frozenset(map(str, content.values()))

    def names(self, version: str) -> frozenset[str]:
        """What others call a version by: itself, and the digests of its objects."""
        manifest = self.store.committed(self.asset, self.partition, version)
        digests = {record.sha256 for record in manifest.manifest.objects.values()} if manifest else set()
        return frozenset({version, *digests})

    def _json(self, path: str) -> Any:
        try:
            return json.loads(self.store.fs.cat_file(path))
        except FileNotFoundError:
            return None


def _needed(looks: list[_Look], partitions: set[str], pool: ThreadPoolExecutor) -> frozenset[str]:
    """Everything that current products were made from which may be among old versions.

    A scene's products are made from others of that scene; all other products may be made from any.
    """
    scenes = {look.partition for look in looks if look.asset == "raw_scene"}
    asked = [look for look in looks if look.partition in partitions or look.partition not in scenes]
    said = list(pool.map(_Look.made_from, asked))
    pairs = zip(asked, said, strict=True)
    silent = sorted(f"{look.asset} of {look.partition}" for look, made_from in pairs if made_from is None)
    if silent and partitions:
        raise RetentionError(
            f"{len(silent)} products do not say what they were made from, for they are older than that record "
            f"({', '.join(silent[:5])}{', …' if len(silent) > 5 else ''}). Make them again, or let also go what "
            "they may have been made from (also_made_from)"
        )
    return frozenset().union(*(versions or () for versions in said))


def _folders(store: Store, path: str) -> list[str]:
    try:
        listing = store.fs.ls(path, detail=True)
    except FileNotFoundError:
        return []
    return sorted(info["name"].rstrip("/").rpartition("/")[2] for info in listing if info["type"] == "directory")


def _staging(store: Store, before: datetime) -> Iterator[Removable]:
    if store.local:
        for folder in _folders(store, f"{store.base}/{STAGING}"):
            path = Path(store.base, STAGING, folder)
            yield from _left(Kind.STAGING, path, before)


def _downloads(before: datetime) -> Iterator[Removable]:
    for home in Path(tempfile.gettempdir()).glob("darts-fetched*"):
        for path in home.iterdir():
            yield from _left(Kind.DOWNLOAD, path, before)


def _jobs(store: Store, before: datetime) -> Iterator[Removable]:
    for name in _folders(store, f"{store.base}/{JOBS}"):
        path = f"{store.base}/{JOBS}/{name}"
        objects = store.fs.find(path, detail=True)
        if objects and max(map(_time, objects.values())) < before:
            yield Removable(Kind.JOB, path, _size(objects))


def _left(kind: Kind, path: Path, before: datetime) -> Iterator[Removable]:
    """A folder of this machine, where none of its files was touched lately."""
    files = [file.stat() for file in path.rglob("*") if file.is_file()]
    used = [path.stat().st_mtime, *(max(stat.st_mtime, stat.st_atime) for stat in files)]
    if datetime.fromtimestamp(max(used), UTC) < before:
        yield Removable(kind, str(path), sum(stat.st_size for stat in files))


def _size(objects: Mapping[str, Mapping[str, Any]]) -> int:
    """Bytes of a listing."""
    return sum(int(info["size"] or 0) for info in objects.values())


def _time(info: Mapping[str, Any]) -> datetime:
    """When an object was written, as local and object-store filesystems tell it."""
    written = info.get("mtime", info.get("LastModified"))
    return written if isinstance(written, datetime) else datetime.fromtimestamp(float(written or 0), UTC)
