"""Small maps of the north: where footprints lie, on a plane that has the pole in its middle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from darts_core.pictures import data_uri

if TYPE_CHECKING:
    from pyproj import Transformer

Colour = tuple[int, int, int]

CRS = "EPSG:3413"
SOUTHERNMOST = 50.0
"""Degrees of latitude at the rim; what lies farther south is not on the map."""

_RIM, _SEA, _LINE, _TEXT = (255, 255, 255), (236, 240, 245), (196, 206, 218), (96, 106, 120)
_MARK: Colour = (210, 45, 40)
_LEAST = 3.0
"""Pixels a side that a footprint is drawn with at least."""
_ROOM = 300
"""Pixels a side from which on meridians have names."""
_EDGE = 8
"""Points an edge, which is bent on this plane."""


def footprint(bounds: Sequence[float], crs: Any) -> np.ndarray | None:
    """The rim of an area (left, bottom, right, top in `crs`) as points (n, 2) in metres of EPSG:3413.

    None where part of it lies too far south for the map.
    """
    left, bottom, right, top = bounds
    along = np.linspace(0, 1, _EDGE, endpoint=False)
    x = np.concatenate([left + (right - left) * along, np.full(_EDGE, right), right - (right - left) * along])
    y = np.concatenate([np.full(_EDGE, bottom), bottom + (top - bottom) * along, np.full(_EDGE, top)])
    x, y = np.append(x, np.full(_EDGE, left)), np.append(y, top - (top - bottom) * along)
    points = np.stack(_to_plane(str(crs)).transform(x, y), axis=-1)
    inside = np.hypot(*points.T) < _radius(SOUTHERNMOST)
    return points if inside.all() else None


def whereabouts(*areas: tuple[Sequence[float], Any]) -> str | None:
    """A data URI of a small map with areas (bounds and their CRS) marked on it; None where none is on the map."""
    found = [area for area in (footprint(bounds, crs) for bounds, crs in areas) if area is not None]
    return data_uri(arctic({_MARK: found}, side=160, least=7.0)) if found else None


def arctic(
    areas: Mapping[Colour, Sequence[np.ndarray]],
    legend: Mapping[str, Colour] | None = None,
    *,
    side: int = 480,
    least: float = _LEAST,
) -> Image.Image:
    """A map of the north with areas on it.

    Args:
        areas: footprints (see `footprint`) by colour; later colours are drawn over earlier ones.
        legend: what the colours stand for.
        side: pixels a side.
        least: pixels a side that an area is drawn with at least.
    """
    image = Image.new("RGB", (side, side), _RIM)
    draw = ImageDraw.Draw(image)
    pixel = 2 * _radius(SOUTHERNMOST) / (side - 2)
    _graticule(draw, side, pixel)
    for colour, shapes in areas.items():
        for shape in shapes:
            x, y = shape[:, 0] / pixel + side / 2, side / 2 - shape[:, 1] / pixel
            if min(np.ptp(x), np.ptp(y)) < least:
                middle, half = ((x.min() + x.max()) / 2, (y.min() + y.max()) / 2), least / 2
                draw.rectangle((middle[0] - half, middle[1] - half, middle[0] + half, middle[1] + half), fill=colour)
            else:
                draw.polygon(list(zip(x, y, strict=True)), fill=colour)
    for line, (name, colour) in enumerate((legend or {}).items()):
        top = 6 + 16 * line
        draw.rectangle((6, top + 1, 15, top + 10), fill=colour)
        draw.text((20, top), name, fill=_TEXT)
    return image


def _graticule(draw: ImageDraw.ImageDraw, side: int, pixel: float) -> None:
    middle = side / 2

    def circle(latitude: float, **style: Any) -> float:
        radius = _radius(latitude) / pixel
        draw.ellipse((middle - radius, middle - radius, middle + radius, middle + radius), **style)
        return radius

    rim = circle(SOUTHERNMOST, fill=_SEA, outline=_LINE)
    for angle in np.radians(range(0, 360, 45)):
        draw.line((middle, middle, middle + rim * np.cos(angle), middle + rim * np.sin(angle)), fill=_LINE)
    for latitude in (60, 70, 80):
        radius = circle(latitude, outline=_LINE)
        draw.text((middle + 2, middle - radius), f"{latitude}°N", fill=_TEXT)
    if side < _ROOM:
        return
    # the meridian that points down is 45° W
    for name, across, down in (("45°W", 0.0, 0.94), ("45°E", 0.9, 0.0), ("135°E", 0.0, -0.99), ("135°W", -0.99, 0.0)):
        draw.text((middle + 2 + rim * across, middle + rim * down), name, fill=_TEXT)


@lru_cache
def _radius(latitude: float) -> float:
    """Metres from the pole to a parallel."""
    x, y = _to_plane("EPSG:4326").transform(-45.0, latitude)
    return float(np.hypot(x, y))


@lru_cache(maxsize=64)
def _to_plane(crs: str) -> Transformer:
    from pyproj import Transformer

    return Transformer.from_crs(crs, CRS, always_xy=True)
