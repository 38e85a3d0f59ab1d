"""Postprocessing: from probabilities to objects, where slumps can be told at all."""

from importlib import import_module
from typing import Any

_HOMES = {
    "PostprocessError": "masking",
    "PostprocessParameters": "parameters",
    "binarize": "masking",
    "looked_at": "masking",
    "percent": "masking",
    "postprocess": "masking",
}


def __getattr__(name: str) -> Any:
    """Import on first use: the parameters alone must not cost an import of xarray."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
