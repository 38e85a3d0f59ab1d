"""Segmentation: checkpoints of every generation, calibration, and the stateful `Segmenter`."""

from importlib import import_module
from typing import Any

_HOMES = {
    "Segmenter": "segmenter",
    "fit_temperature": "calibration",
    "load_checkpoint": "checkpoint",
    "save_checkpoint": "checkpoint",
}


def __getattr__(name: str) -> Any:
    """Import on first use: the parameters alone must not cost an import of torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
