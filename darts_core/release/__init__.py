"""The release of a season: slumps of all scenes merged, with ids that last, coverage, and files to publish."""

from importlib import import_module
from typing import Any

_HOMES = {
    "Look": "coverage",
    "PreviousRelease": "lineage",
    "ReleaseError": "errors",
    "ReleaseParameters": "parameters",
    "SceneDetections": "release",
    "extent_of": "coverage",
    "merge_scenes": "release",
    "read_extent": "coverage",
    "release_files": "files",
    "release_scenes": "files",
    "write_release": "release",
}


def __getattr__(name: str) -> Any:
    """Import on first use: the parameters alone must not cost an import of xarray."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
