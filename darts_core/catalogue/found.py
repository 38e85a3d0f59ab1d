"""What a search finds, and the choice among repeated acquisitions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from darts_core.errors import DartsError
from darts_core.scenes.scene import Refusal, Scene

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry


class CatalogueError(DartsError):
    """A search that cannot be made: a wrong question, or a server that does not answer as it should."""


@dataclass(frozen=True, slots=True)
class Found:
    """A scene, and what is known of it before it is read."""

    scene: Scene
    cloud: float | None = None
    """Percent of the pixels that hold data; None where nobody says."""
    snow: float | None = None
    """Percent, likewise."""
    nodata: float | None = None
    """Percent of all pixels."""
    footprint: BaseGeometry | None = None
    """WGS 84 degrees; in parts where it crosses the antimeridian."""

    @property
    def usable(self) -> float:
        """Percent of the scene that holds data and is not cloud; of a scene of unknown cloud 0."""
        return 0.0 if self.cloud is None else (100 - (self.nodata or 0.0)) * (100 - self.cloud) / 100


@dataclass(frozen=True, slots=True)
class Search:
    """The answer to a query; no two scenes have the same key."""

    found: tuple[Found, ...]
    """By key."""
    refusals: tuple[Refusal, ...] = ()
    """What was named and is no scene that can be read."""


Per: TypeAlias = Literal["tile", "season", "month", "day"]

_PERIOD = {"tile": "", "season": "%Y", "month": "%Y%m", "day": "%Y%m%d"}


def clearest(found: Iterable[Found], per: Per = "tile") -> tuple[Found, ...]:
    """The clearest acquisition of every tile, or of every tile and season, month or day (UTC), by key.

    Clearest is what shows most of the ground: most pixels with data and without cloud, then least snow, then the
    latest. An acquisition of unknown cloud is taken only where there is no other.

    Raises:
        CatalogueError: an unknown period.
    """
    if per not in _PERIOD:
        raise CatalogueError(f"Expected the clearest per {', '.join(_PERIOD)}, received {per!r}")
    best: dict[tuple[str, str], Found] = {}
    for one in found:
        group = one.scene.tile, one.scene.acquired.strftime(_PERIOD[per])
        if group not in best or _merit(one) > _merit(best[group]):
            best[group] = one
    return tuple(sorted(best.values(), key=lambda one: one.scene.key))


def _merit(one: Found) -> tuple[bool, float, float, object]:
    return one.cloud is not None, one.usable, -(100.0 if one.snow is None else one.snow), one.scene.acquired
