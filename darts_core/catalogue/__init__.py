"""Where scenes are looked for: a folder of files, or a STAC API; one interface for both.

`open_catalogue` opens either, `Query` says what is looked for, `clearest` chooses among repeated acquisitions and
`fetch` brings what was found to this machine; a scene of a STAC catalogue can also be read where it lies.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from darts_core.catalogue.found import CatalogueError, Found, Search, clearest
from darts_core.catalogue.query import Catalogue, Query, area_of, period_of

if TYPE_CHECKING:
    from darts_core.catalogue.fetching import fetch
    from darts_core.catalogue.opening import open_catalogue

__all__ = [
    "Catalogue",
    "CatalogueError",
    "Found",
    "Query",
    "Search",
    "area_of",
    "clearest",
    "fetch",
    "open_catalogue",
    "period_of",
]

_HOMES = {"fetch": "fetching", "open_catalogue": "opening"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
