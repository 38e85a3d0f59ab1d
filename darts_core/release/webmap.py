"""A map of a release in one HTML file that needs nothing else: no server, no network, no other file."""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from darts_core.release.cells import CRS, Cell
from darts_core.release.coverage import TILE_SIDE
from darts_core.release.looks import seconds
from darts_core.release.tiles import tile_bounds
from darts_core.vectors.schema import STATUSES

if TYPE_CHECKING:
    import geopandas as gpd
    from PIL import Image

VERTICES = 8_000_000
"""Outline vertices of a map, about; more slumps have simpler outlines.

A slump takes at most 17 bytes, its id, a separator, and 2 + 4 bytes a vertex before compression, so that a map of a
million slumps of 8 vertices stays below 90 MB, in practice about half of that. The names of its scenes and models recur
with its neighbours and are packed into a few bytes.
"""

_FEWEST, _MOST = 6, 64
_UNKNOWN = 255
_DAY_S = 86_400
_QUANTUM = TILE_SIDE / 65536
"""Metres of the grid that points lie on: 5."""
_PAGE = Path(__file__).with_name("viewer.html")


def write_map(
    tiles: Iterator[tuple[Cell, gpd.GeoDataFrame]],
    path: Path,
    *,
    title: str,
    slumps: int,
    bounds: tuple[float, float, float, float],
    ground: Image.Image,
    ui_address: str | None = None,
) -> None:
    """Write a page that shows every slump: density far out, points, then outlines; a click tells its attributes.

    Points lie within 2.5 m of a point inside the slump; an outline is the largest part's outer ring, simplified to
    `VERTICES` over the number of slumps. One tile is held at a time, here and, for outlines, in the browser.

    Args:
        tiles: rows of `RELEASE_SCHEMA` by tile.
        slumps: rows in all.
        bounds: left, bottom, right, top of `ground`, metres in EPSG:3413; the page opens around the slumps, if any.
        ground: a picture, below the slumps.
        ui_address: of the Dagster UI; with it the scenes of a slump are links to where they were made.
    """
    most = int(np.clip(VERTICES // max(slumps, 1), _FEWEST, _MOST))
    before, after = _PAGE.read_text("utf-8").split("<!--DATA-->")
    facts = _facts(title, slumps, bounds, ground, ui_address)
    with open(path, "w", encoding="utf-8") as page:
        page.write(before)
        page.write(f'<script type="application/json" id="facts">{facts}</script>\n')
        for number, (cell, frame) in enumerate(tiles):
            left, bottom, _, _ = tile_bounds(cell)
            points, details = _tile(frame, (left, bottom), most)
            place = f'data-n="{len(frame)}" data-x="{left:.0f}" data-y="{bottom:.0f}" data-details="d{number}"'
            page.write(f'<script type="text/plain" class="tile" {place}>{points}</script>\n')
            page.write(f'<script type="text/plain" id="d{number}">{details}</script>\n')
        page.write(after)


def _facts(title: str, slumps: int, bounds: Any, ground: Image.Image, ui_address: str | None) -> str:
    buffer = io.BytesIO()
    ground.save(buffer, "PNG", optimize=True)
    facts = {
        "title": title,
        "text": f"{slumps:,} slumps. Drag to move, wheel to zoom, click one to see what is known of it.",
        "bounds": bounds,
        "side": TILE_SIDE,
        "quantum": _QUANTUM,
        "statuses": STATUSES,
        "parallels": _parallels(),
        "ui": ui_address and ui_address.rstrip("/"),
        "ground": f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}",
    }
    # a title may hold what would end the script
    return json.dumps(facts).replace("<", "\\u003c")


def _parallels() -> list[dict[str, float]]:
    """Every tenth parallel, a circle around the pole on this plane, southernmost first."""
    from pyproj import Transformer

    latitudes = [50, 60, 70, 80]
    to_plane = Transformer.from_crs("EPSG:4326", CRS, always_xy=True)
    _, y = to_plane.transform([-45.0] * len(latitudes), latitudes)
    return [{"latitude": latitude, "radius": -north} for latitude, north in zip(latitudes, y, strict=True)]


def _tile(frame: gpd.GeoDataFrame, corner: tuple[float, float], most: int) -> tuple[str, str]:
    """The columns of a tile, and the outlines and names that the page unpacks when it needs them."""
    import shapely

    shapes = frame.geometry.to_numpy()
    inside = shapely.get_coordinates(shapely.point_on_surface(shapes))
    points = np.clip((inside - corner) / _QUANTUM, 0, 65535).astype("<u2")
    columns = (
        frame["area_m2"].to_numpy("<f4"),
        *points.T,
        *((seconds(frame[name]) // _DAY_S).astype("<u2") for name in ("first_seen", "last_seen")),
        *(_shares(frame[name]) for name in ("probability_mean", "agreement")),
        *(_bytes(frame[name]) for name in ("observations", "looks")),
        np.array([STATUSES.index(status) for status in frame["status"]], np.uint8),
    )
    counts, steps = _outlines(shapes, points * _QUANTUM + corner, most)
    # a column after the other, for what repeats itself packs well
    names = "\n".join(name for column in ("id", "scenes", "models") for name in frame[column]).encode()
    packed = b"".join(column.tobytes() for column in columns)
    return _packed(packed), _packed(counts.tobytes() + steps.tobytes() + names)


def _outlines(shapes: np.ndarray, start: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices of each outline, at most `most`, and their steps in metres, the first from `start`."""
    import shapely

    parts, owner = shapely.get_parts(shapes, return_index=True)
    order = np.lexsort((shapely.area(parts), owner))
    largest = order[np.flatnonzero(np.diff(owner[order], append=-1))]
    rings = shapely.get_exterior_ring(parts[largest])
    tolerance = _QUANTUM / 2
    simple = shapely.simplify(rings, tolerance)
    # a ring cannot have fewer than four points, its first one twice
    while (many := shapely.get_num_coordinates(simple) > most + 1).any() and tolerance < TILE_SIDE:
        tolerance *= 2
        simple[many] = shapely.simplify(rings[many], tolerance)
    points, ring = shapely.get_coordinates(simple, return_index=True)
    last = np.flatnonzero(np.diff(ring, append=-1))
    points, ring = np.delete(points, last, axis=0), np.delete(ring, last)
    counts = np.bincount(ring, minlength=len(shapes))
    whole = np.rint(points)
    # steps between rounded places, so that rounding does not add up along a ring
    first = np.flatnonzero(np.diff(ring, prepend=-1))
    steps = np.diff(whole, axis=0, prepend=0)
    steps[first] = whole[first] - start
    return counts.astype("<u2"), np.clip(np.rint(steps), -32768, 32767).astype("<i2")


def _shares(values: Any) -> np.ndarray:
    """0..1 as percent, NaN as 255."""
    return np.where(np.isnan(values), _UNKNOWN, np.rint(np.nan_to_num(values) * 100)).astype(np.uint8)


def _bytes(values: Any) -> np.ndarray:
    return np.minimum(values, 255).to_numpy(np.uint8)


def _packed(data: bytes) -> str:
    """Deflated without a header, as a browser inflates it, in base64."""
    coder = zlib.compressobj(6, zlib.DEFLATED, -15)
    return base64.b64encode(coder.compress(data) + coder.flush()).decode()
