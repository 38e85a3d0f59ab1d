"""Super-resolution: upscalers, and the verbs that run them over whole scenes."""

from importlib import import_module
from typing import Any

_HOMES = {
    "Upscaler": "upscalers",
    "load_upscaler": "upscalers",
    "is_needed": "patches",
    "stitch": "scenes",
    "super_resolve_patches": "patches",
    "super_resolve": "scenes",
}


def __getattr__(name: str) -> Any:
    """Import on first use: the parameters alone must not cost an import of torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
