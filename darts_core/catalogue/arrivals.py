"""What a search of a catalogue finds that it did not find before."""

from __future__ import annotations

import calendar
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from darts_core.catalogue.query import Catalogue, Query
from darts_core.scenes.scene import Findings, Scene

OVERLAP = timedelta(days=30)
"""How far before the latest scene that was found a search begins: scenes appear days to weeks after acquisition, and
not in its order."""


class CatalogueArrivals:
    """The scenes of a query, month by month; an entry is the Item of a scene."""

    def __init__(self, catalogue: Catalogue, query: Query, since: str | None = None) -> None:
        """Look from the start of the query, or from `OVERLAP` before `since`, an ISO date."""
        if query.start is None or query.end is None:
            raise ValueError(f"Expected a query of a period, received {query.start} to {query.end}")
        self._catalogue, self._query, self._start = catalogue, query, query.start
        if since is not None:
            self._start = max(query.start, datetime.fromisoformat(since).replace(tzinfo=UTC) - OVERLAP)
        self.latest: str | None = since
        """ISO date of the latest scene that was found; where a later search goes on from."""
        self._scenes: dict[str, Scene] = {}

    def entries(self, known: Collection[str], most: int = 1_000) -> dict[str, str]:
        """Item to what marks it: its name and its assets. Ends after the month in which `most` are not known.

        Raises:
            CatalogueError: the server fails, or finds too many in one month.
        """
        begin, end, unknown = self._start, self._query.end or datetime.now(UTC), 0
        while begin <= end and unknown < most:
            last = min(end, _end_of_month(begin))
            for found in self._catalogue.search(replace(self._query, start=begin, end=last)).found:
                scene = found.scene
                self._scenes[scene.url] = scene
                unknown += scene.url not in known
                self.latest = max(self.latest or "", f"{scene.acquired:%Y-%m-%d}")
            begin = last + timedelta(microseconds=1)
        return {url: self.signature(url) for url in self._scenes}

    def signature(self, entry: str) -> str:
        """What names the product; another product of the same acquisition is another Item."""
        scene = self._scenes.get(entry)
        return "" if scene is None else f"{scene.product_id} {len(scene.files)}"

    def find(self, entry: str) -> Findings:
        """The scene of an Item that was found."""
        return Findings((self._scenes[entry],), ())


def _end_of_month(moment: datetime) -> datetime:
    days = calendar.monthrange(moment.year, moment.month)[1]
    return moment.replace(day=days, hour=23, minute=59, second=59, microsecond=999_999)
