"""The products of one scene as files for others: GIS, a web map, a STAC catalogue."""

from importlib import import_module
from typing import Any

_HOMES = {
    "STANDARD": "products",
    "ExportError": "products",
    "Format": "products",
    "SceneProducts": "products",
    "export": "writing",
    "stac_item": "item",
}


def __getattr__(name: str) -> Any:
    """Import on first use: the names of the formats alone must not cost an import of rasterio."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
