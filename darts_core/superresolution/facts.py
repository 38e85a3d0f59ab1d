"""What is said of a model beside its file, and the identity of both. Imports no torch."""

from __future__ import annotations

import hashlib
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Any

from darts_core.errors import DartsError
from darts_core.manifests import file_digest

ENTRY_POINTS = "darts_assets.upscalers"
"""Entry points of installed packages that offer upscalers: `name = package.module:callable`."""


class UpscalerError(DartsError):
    """An upscaler that does not exist, cannot be loaded, or does not do what is said of it."""


class Precision(StrEnum):
    """What the layers of a model compute in; all but float32 through torch's autocast."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


def facts_path(model: Path) -> Path:
    """Where the facts of a model file are: `<model file>.toml`."""
    return model.with_name(f"{model.name}.toml")


def read_facts(model: Path) -> dict[str, Any]:
    """What `<model file>.toml` says, by field of `Upscaler`; nothing where there is no such file.

    Raises:
        UpscalerError: not TOML.
    """
    path = facts_path(model)
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UpscalerError(f'{path} is not TOML: {error}. Expected lines as bands = ["blue", "nir"]') from error


def model_digest(model: Path) -> str:
    """SHA-256 of a model file; of the digests of both where facts lie beside it, for they change what it makes."""
    digest, facts = file_digest(model), facts_path(model)
    if not facts.is_file():
        return digest
    return hashlib.sha256(f"{digest} {file_digest(facts)}".encode()).hexdigest()
