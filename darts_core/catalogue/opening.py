"""Open a catalogue by its address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from darts_core.catalogue.query import Catalogue


def open_catalogue(
    url: str, collections: Sequence[str] = (), storage_options: Mapping[str, Any] | None = None
) -> Catalogue:
    """The catalogue at an address: a STAC API where it is http(s), else a folder or object-store prefix of scenes.

    Args:
        collections: of a STAC API.
        storage_options: keyword arguments of the fsspec filesystem of a folder.
    """
    if url.startswith(("http://", "https://")):
        from darts_core.catalogue.stac import StacCatalogue

        return StacCatalogue(url, tuple(collections))
    from darts_core.catalogue.files import FileCatalogue

    return FileCatalogue(url, dict(storage_options or {}))
