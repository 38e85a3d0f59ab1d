"""A STAC API, asked with time-outs and retries; it cannot send this machine elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from pystac_client import Client
from pystac_client.conformance import ConformanceClasses
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO

from darts_core.catalogue.found import CatalogueError
from darts_core.web import PAUSE, RETRIES, TIMEOUT, guard_redirects, retries

TILE_PROPERTIES = {"grid:code": "MGRS-{}", "s2:mgrs_tile": "{}"}
"""Names under which catalogues keep the MGRS tile, and how they write it."""

_BROKEN = ("IncompleteRead", "Connection broken", "Connection aborted")


class _SameHost(StacApiIO):
    """Asks the host that is configured and no other, whatever links say."""

    def __init__(self, host: str | None) -> None:
        super().__init__(max_retries=retries())
        guard_redirects(self.session)
        self._host = host

    def request(self, href: str, *args: Any, **kwargs: Any) -> str:
        if urlsplit(href).scheme not in ("http", "https") or urlsplit(href).hostname != self._host:
            raise CatalogueError(
                f"The catalogue names {href[:200]!r} as its next step, which is not on {self._host}; it is not "
                "followed. Configure the address that answers"
            )
        for attempt in range(RETRIES):
            try:
                return super().request(href, *args, **kwargs)
            except APIError as error:
                # a body that breaks off is not retried below
                if not any(word in str(error) for word in _BROKEN):
                    raise
                time.sleep(PAUSE * 2**attempt)
        return super().request(href, *args, **kwargs)


class Api:
    """A STAC API that was reached."""

    def __init__(self, url: str) -> None:
        """Reach it.

        Raises:
            CatalogueError: nothing there answers as a STAC API does.
        """
        self.url = url.rstrip("/")
        self._io = _SameHost(urlsplit(self.url).hostname)
        try:
            # opening sets the time-out anew, to none where it is not named
            self._client = Client.open(self.url, stac_io=self._io, timeout=TIMEOUT)
        except CatalogueError:
            raise
        except Exception as error:
            # an unreachable host, an error page, JSON of something else: each has an error of another library
            raise self._failed(error) from error
        if self._client.get_single_link("search") is None:
            raise CatalogueError(
                f"{self.url} is a static STAC catalogue, or none: it offers no search. Configure the root of a STAC API"
            )

    def items(self, collections: Sequence[str], limit: int, **asked: Any) -> Iterator[dict[str, Any]]:
        """Items as JSON objects, page by page.

        Args:
            limit: more than so many are an error.
            asked: `intersects`, `datetime`, `query`, `filter` of STAC's item search.

        Raises:
            CatalogueError: the server fails, or finds too many.
        """
        methods = {link.extra_fields.get("method", "GET") for link in self._client.get_links("search")}
        try:
            search = self._client.search(
                method="POST" if "POST" in methods else "GET", collections=list(collections) or None, **asked
            )
            for number, item in enumerate(search.items_as_dicts()):
                if number >= limit:
                    raise CatalogueError(
                        f"{self.url} finds more than {limit} scenes. Narrow the search by tile, area or dates"
                    )
                yield item
        except CatalogueError:
            raise
        except Exception as error:
            raise self._failed(error) from error

    def conditions(self, collections: Sequence[str], max_cloud: float | None, tiles: Sequence[str]) -> dict[str, Any]:
        """The arguments for what this server can be asked about properties; the rest is left to the client."""
        limits: list[tuple[str, str, Any]] = []
        if max_cloud is not None:
            limits.append(("eo:cloud_cover", "<=", max_cloud))
        named = self._tile_property(collections) if tiles else None
        if named:
            # zones are written with and without their zero
            written = {form for tile in tiles for form in (tile[1:], tile[1:].lstrip("0"))}
            limits.append((named, "in", sorted(TILE_PROPERTIES[named].format(form) for form in written)))
        if limits and self._client.conforms_to(ConformanceClasses.FILTER):
            tests = [{"op": op, "args": [{"property": name}, value]} for name, op, value in limits]
            return {"filter": {"op": "and", "args": tests}, "filter_lang": "cql2-json"}
        if limits and self._client.conforms_to(ConformanceClasses.QUERY):
            return {"query": {name: {{"<=": "lte"}.get(op, op): value} for name, op, value in limits}}
        return {}

    def _tile_property(self, collections: Sequence[str]) -> str | None:
        """The property of the tile that all collections can be asked for, by what they say of themselves."""
        common = set(TILE_PROPERTIES)
        for collection in collections:
            try:
                said = self._io.read_json(f"{self.url}/collections/{quote(collection, safe='')}/queryables")
            except APIError:
                return None
            common &= set(said.get("properties") or {})
        return min(common) if collections and common else None

    def item_url(self, item: dict[str, Any]) -> str:
        """Where an Item is found again: its own link where that is on this host, else by its collection and name."""
        own = next((link.get("href") for link in item.get("links") or () if link.get("rel") == "self"), None)
        if isinstance(own, str) and urlsplit(own).hostname == urlsplit(self.url).hostname:
            return own
        collection, name = (quote(str(item.get(key)), safe="") for key in ("collection", "id"))
        return f"{self.url}/collections/{collection}/items/{name}"

    def _failed(self, error: Exception) -> CatalogueError:
        return CatalogueError(
            f"The catalogue {self.url} does not answer as a STAC API ({type(error).__name__}: {str(error)[:300]}). "
            "Check the address in the settings (catalogue) and the network"
        )
