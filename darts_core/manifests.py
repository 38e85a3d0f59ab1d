"""What a version of a product is named by and what belongs to it: identities, names, manifests."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from darts_core.errors import DartsError

MANIFEST = "manifest.json"
"""Name of the manifest in a version's folder."""
PARTS = ".parts"
"""Folder of the records of what is published before the manifest."""
MOST_OBJECTS = 1_000_000
"""Of one version."""

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_PART = re.compile(r"[^\\/:\x00-\x1f\x7f]{1,200}")


class StoreError(DartsError):
    """A name that the store refuses, or a store that cannot be used."""


class MissingProduct(StoreError):
    """The product was never made; the message says what to materialize."""


class DamagedProduct(StoreError):
    """Objects of a committed version are missing or altered; the message names them."""


class StoreUnavailable(StoreError):
    """An object store that cannot be reached, refuses, or fails although it was asked again: a fault that may pass."""


class ObjectRecord(BaseModel):
    """What the manifest knows of one object."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """Everything that belongs to one version; committed once, after its objects."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    asset: str
    partition: str
    version: str
    objects: dict[str, ObjectRecord] = Field(max_length=MOST_OBJECTS)
    """Object name relative to the version's folder, with forward slashes."""
    summary: dict[str, Any]
    """Facts about the product that later steps and people ask for without reading it."""

    @field_validator("objects")
    @classmethod
    def _inside(cls, objects: dict[str, ObjectRecord]) -> dict[str, ObjectRecord]:
        for name in objects:
            check_object(name)
        return objects

    @property
    def size(self) -> int:
        """Bytes of all objects together."""
        return sum(record.size for record in self.objects.values())


def identity(step: str, *, code_version: str, inputs: Mapping[str, str], parameters: Mapping[str, Any]) -> str:
    """The version of what `step` makes from these inputs' versions with this code and these parameters.

    Returns:
        ``<code version>-<20 hexadecimal digits>``: which code made a product is told by its name alone, so that one
        query of an index finds all that older code made.
    """
    made_from = {"step": step, "code": code_version, "inputs": dict(inputs), "parameters": dict(parameters)}
    canonical = json.dumps(made_from, sort_keys=True, separators=(",", ":"), default=str)
    return f"{code_version}-{hashlib.sha256(canonical.encode()).hexdigest()[:20]}"


def code_of(version: str) -> str | None:
    """The code version that an `identity` begins with; None for a version of another form."""
    code, dash, _ = version.rpartition("-")
    return code if dash else None


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_name(name: str, what: str = "name") -> str:
    """`name` itself where it can be a folder or a partition key on every store.

    Raises:
        StoreError: it holds other characters than letters, digits, ``_ . -``, is longer than 100, or climbs.
    """
    if not _NAME.fullmatch(name) or ".." in name or name.startswith("."):
        raise StoreError(
            f"{what} {name!r} is refused: expected 1 to 100 letters, digits, '_', '-' or '.', without '..' "
            "and without a leading '.'; rename what it comes from"
        )
    return name


def check_object(name: str) -> str:
    """`name` itself where it can be that of an object in a version's folder: parts with ``/`` between.

    Raises:
        ValueError: it leads out of the folder, or no folder can hold it.
    """
    parts = name.split("/")
    if len(name) > 1000 or any(part in ("", ".", "..") or not _PART.fullmatch(part) for part in parts):
        raise ValueError(f"the object name {name[:200]!r} is refused: expected parts of a path below its version")
    return name


def document(content: Any) -> bytes:
    """JSON as it is written into the store: the same content gives the same bytes."""
    return (json.dumps(content, sort_keys=True, indent=1) + "\n").encode()
