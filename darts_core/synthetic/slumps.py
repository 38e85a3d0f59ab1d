"""Retrogressive thaw slumps: where they form, their outlines, and the signed distance to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from shapely.geometry import LineString, Polygon

from darts_core.synthetic.grid import Grid
from darts_core.synthetic.noise import smoothstep

REACH = 60.0
"""Metres around an outline within which the signed distance is exact; it is clipped beyond."""


@dataclass(frozen=True, slots=True)
class Slump:
    """One slump: a bowl that opens downslope, and the tongue of debris below it."""

    id: int
    outline: Polygon
    """The scar, headwall to outlet, in world coordinates: the truth."""
    tongue: Polygon
    """Debris below the outlet, down to the water; not part of the truth."""
    head: tuple[float, float]
    """World coordinates of the middle of the headwall."""
    downslope: tuple[float, float]
    """Unit vector (east, north) from headwall to outlet."""
    length: float
    """Headwall to outlet, metres."""
    activity: float
    """0.5 half revegetated, 1 fresh."""


def place_slumps(
    grid: Grid, elevation: np.ndarray, water_distance: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[Slump, ...]:
    """Up to `count` slumps on slopes beside water, none touching another.

    Args:
        grid: grid of both arrays.
        elevation: metres, axes (y, x), smooth at the scale of a slump.
        water_distance: metres to the next lake or stream, negative inside, axes (y, x).
        count: how many are wanted; fewer come out where the terrain offers no room.
        rng: source of all randomness.
    """
    north_slope, east_slope = np.gradient(elevation, grid.spacing)
    north_slope = -north_slope
    slope = np.degrees(np.arctan(np.hypot(north_slope, east_slope)))
    x, y, water, steep, east, north = (
        layer[::4, ::4].ravel() for layer in (*grid.centers(), water_distance, slope, east_slope, north_slope)
    )
    room = np.full(x.shape, np.inf)
    slumps: list[Slump] = []
    # the largest first, while there is room for them
    for length in np.sort(np.clip(rng.lognormal(np.log(165), 0.5, count), 60, 400))[::-1].tolist():
        near_water = (water > 0.45 * length) & (water < 0.6 * length + 90)
        sites = np.flatnonzero(near_water & (steep > 4) & (steep < 19) & (room > 0.9 * length))
        if sites.size == 0:
            continue
        site = int(rng.choice(sites))
        fall = -np.array([east[site], north[site]])
        center = (float(x[site]), float(y[site]))
        slumps.append(_slump(len(slumps) + 1, center, fall / np.hypot(*fall), length, rng))
        room = np.minimum(room, np.hypot(x - center[0], y - center[1]) - 0.9 * length)
    return tuple(slumps)


def _slump(
    number: int, center: tuple[float, float], downslope: np.ndarray, length: float, rng: np.random.Generator
) -> Slump:
    width = length * rng.uniform(0.5, 0.85)
    bowl = _bowl(center, downslope, length, width, rng)
    for side in (-1, 1):
        if length > 110 and rng.random() < 0.5:
            # a second headwall eats into the slope beside the first
            turn = side * rng.uniform(0.5, 0.9)
            lobe_length, lobe_width = length * rng.uniform(0.45, 0.65), width * rng.uniform(0.45, 0.65)
            axis = _rotate(downslope, -turn)
            lobe_center = np.array(center) - axis * 0.42 * length
            bowl = bowl.union(_bowl((lobe_center[0], lobe_center[1]), axis, lobe_length, lobe_width, rng))
    rounded = bowl.buffer(7).buffer(-10).buffer(3)
    largest = max(getattr(rounded, "geoms", [rounded]), key=lambda part: part.area)
    outline = Polygon(largest.exterior).simplify(0.5)
    head = np.array(center) - downslope * length / 2
    return Slump(
        number,
        outline,
        _tongue(center, downslope, length, width, rng).difference(outline),
        (float(head[0]), float(head[1])),
        (float(downslope[0]), float(downslope[1])),
        length,
        float(rng.uniform(0.5, 1.0)),
    )


def _bowl(
    center: tuple[float, float], axis: np.ndarray, length: float, width: float, rng: np.random.Generator
) -> Polygon:
    """A horseshoe: a round headwall, flanks that narrow to the outlet, lobes on both."""
    along = np.linspace(0, 1, 48)
    head = np.sqrt(np.clip(1 - (1 - along / 0.45) ** 2, 0, 1))
    outlet = rng.uniform(0.35, 0.6)
    flank = 1 - (1 - outlet) * smoothstep(0.45, 1.0, along)
    profile = np.where(along < 0.45, head, flank) * width / 2
    bend = rng.uniform(-0.18, 0.18) * width * (2 * along - 1) ** 2
    left = bend + profile * _wobble(along, rng)
    right = bend - profile * _wobble(along, rng)
    down = np.concatenate([along, along[::-1]]) * length - length / 2
    across = np.concatenate([left, right[::-1]])
    points = np.array(center) + down[:, None] * axis + across[:, None] * np.array([-axis[1], axis[0]])
    return Polygon(points).buffer(0)


def _wobble(along: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    waves = np.arange(1, 6)
    phase, size = rng.uniform(0, 2 * np.pi, waves.size), rng.uniform(0.03, 0.14, waves.size) / waves
    return 1 + np.sin(2 * np.pi * waves * along[:, None] + phase) @ size


def _tongue(
    center: tuple[float, float], downslope: np.ndarray, length: float, width: float, rng: np.random.Generator
) -> Polygon:
    reach = np.linspace(0.3, rng.uniform(0.9, 1.3), 12)
    aside = np.cumsum(rng.normal(0, 0.02, reach.size)) * length
    points = np.array(center) + reach[:, None] * length * downslope
    points = points + aside[:, None] * np.array([-downslope[1], downslope[0]])
    return LineString(points).buffer(max(4.0, 0.07 * width))


def _rotate(vector: np.ndarray, angle: float) -> np.ndarray:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([vector[0] * cosine - vector[1] * sine, vector[0] * sine + vector[1] * cosine])


def signed_distance(grid: Grid, polygons: list[Polygon]) -> np.ndarray:
    """Metres to the nearest outline, negative inside, clipped to +-`REACH`; float32, axes (y, x)."""
    distance = np.full(grid.shape, REACH, np.float32)
    for polygon in polygons:
        rows, columns = window(grid, polygon)
        x, y = _centers(grid, rows, columns)
        points = shapely.points(x, y)
        away = shapely.distance(points, polygon.boundary)
        away[shapely.contains_xy(polygon, x, y)] *= -1
        distance[rows, columns] = np.minimum(distance[rows, columns], away)
    return np.clip(distance, -REACH, REACH)


def window(grid: Grid, polygon: Polygon) -> tuple[slice, slice]:
    """Rows and columns of `grid` within `REACH` of a polygon."""
    west, south, east, north = polygon.bounds
    top, left = grid.index(np.array(west - REACH), np.array(north + REACH))
    bottom, right = grid.index(np.array(east + REACH), np.array(south - REACH))
    return (
        slice(max(int(top), 0), max(int(bottom) + 2, 0)),
        slice(max(int(left), 0), max(int(right) + 2, 0)),
    )


def _centers(grid: Grid, rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray]:
    x, y = grid.centers()
    return x[rows, columns], y[rows, columns]


def slump_fields(grid: Grid, slumps: tuple[Slump, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Depth of the scars and activity of the nearest slump.

    Returns:
        depth: metres of ground that is gone, 0 outside, deepest below the headwall; float32, axes (y, x).
        activity: 0 where no slump is near, else the slump's; float32, axes (y, x).
    """
    depth, activity = np.zeros(grid.shape, np.float32), np.zeros(grid.shape, np.float32)
    for slump in slumps:
        rows, columns = window(grid, slump.outline)
        x, y = _centers(grid, rows, columns)
        inside = -signed_distance(grid, [slump.outline])[rows, columns]
        along = ((x - slump.head[0]) * slump.downslope[0] + (y - slump.head[1]) * slump.downslope[1]) / slump.length
        deepest = np.clip(3 + 0.035 * slump.length, 4, 14)
        scar = deepest * (1 - 0.8 * smoothstep(0.1, 1.0, along)) * smoothstep(0, 11, inside)
        depth[rows, columns] = np.maximum(depth[rows, columns], scar)
        activity[rows, columns] = np.maximum(activity[rows, columns], slump.activity)
    return depth, activity
