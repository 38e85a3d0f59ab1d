"""A plateau cut by streams: elevation and the drainage network that carved it.

Flow is routed by priority flood (Barnes et al. 2014, doi:10.1016/j.cageo.2013.04.024); valleys are cut by the
implicit stream-power law (Braun and Willett 2013, doi:10.1016/j.geomorph.2012.10.008); their walls are then
relaxed to a stable slope.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from darts_core.synthetic.grid import Grid
from darts_core.synthetic.noise import fractal_noise, smoothstep

_INFLOW_KM2 = 60.0
"""Catchment of the main river where it enters from the north."""
_ERODIBILITY = 0.8
_STABLE_SLOPE = 0.36
"""Tangent of the steepest valley wall."""
_NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))


@dataclass(frozen=True, slots=True, eq=False)
class Terrain:
    """What the streams made; all arrays (y, x) on `grid`."""

    grid: Grid
    elevation: np.ndarray
    """float64, metres."""
    receiver: np.ndarray
    """int64, flat index of the cell that each cell drains to; itself at the outlets."""
    catchment: np.ndarray
    """float64, square kilometres that drain through each cell."""


def carve(grid: Grid, seed: int) -> Terrain:
    """A plateau that tilts to the south, drained by one main river and its tributaries.

    Args:
        grid: about 30 m of spacing; the routing is a Python loop over its cells.
        seed: names the plateau.
    """
    elevation = _plateau(grid, seed)
    for _ in range(2):
        # the second pass routes over the valleys of the first, so that streams follow them
        order, receiver, filled = _route(elevation)
        catchment = _accumulate(order, receiver, elevation, grid.spacing)
        elevation = _incise(filled, order, receiver, catchment, grid.spacing)
    return Terrain(grid, _relax(elevation, grid.spacing), receiver.reshape(grid.shape), catchment)


def _plateau(grid: Grid, seed: int) -> np.ndarray:
    x, y = grid.centers()
    west, south, east, _ = grid.bounds
    middle = west + (east - west) * 0.5 + 1100 * fractal_noise(np.zeros_like(y), y, 3200, 2, seed)
    away = np.abs(x - middle)
    hills = 60 * fractal_noise(x, y, 2600, 3, seed + 10) + 16 * fractal_noise(x, y, 480, 3, seed + 20)
    valley = 90 * (1 - smoothstep(0, 1300, away)) + 60 * (1 - smoothstep(40, 330, away))
    return 430 + 0.014 * (y - south) + hills * smoothstep(0, 900, away) - valley


def _route(elevation: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cells from the outlets upstream, the receiver of each, and the elevation with its pits filled."""
    height, width = elevation.shape
    levels = elevation.ravel().tolist()
    receiver = [-1] * len(levels)
    order: list[int] = []
    # water leaves over the southern edge only, so that the other edges do not grow streams of their own
    heap = [(levels[cell], cell) for cell in range((height - 1) * width, height * width)]
    for _, cell in heap:
        receiver[cell] = cell
    heapq.heapify(heap)
    while heap:
        level, cell = heapq.heappop(heap)
        order.append(cell)
        row, column = divmod(cell, width)
        for down, right in _NEIGHBOURS:
            if not (0 <= row + down < height and 0 <= column + right < width):
                continue
            neighbour = cell + down * width + right
            if receiver[neighbour] < 0:
                receiver[neighbour] = cell
                levels[neighbour] = max(levels[neighbour], level + 1e-3)
                heapq.heappush(heap, (levels[neighbour], neighbour))
    return np.array(order), np.array(receiver), np.array(levels).reshape(elevation.shape)


def _accumulate(order: np.ndarray, receiver: np.ndarray, elevation: np.ndarray, spacing: float) -> np.ndarray:
    area = [(spacing / 1000) ** 2] * elevation.size
    area[int(np.argmin(elevation[0]))] += _INFLOW_KM2
    towards = receiver.tolist()
    for cell in reversed(order.tolist()):
        if towards[cell] != cell:
            area[towards[cell]] += area[cell]
    return np.array(area).reshape(elevation.shape)


def _incise(
    elevation: np.ndarray, order: np.ndarray, receiver: np.ndarray, catchment: np.ndarray, spacing: float
) -> np.ndarray:
    """One implicit step of dz/dt = -k A^0.5 dz/ds, from the outlets upstream."""
    power = (_ERODIBILITY * 100 / spacing * np.sqrt(catchment)).ravel().tolist()
    levels = elevation.ravel().tolist()
    towards = receiver.tolist()
    for cell in order.tolist():
        below = towards[cell]
        levels[cell] = (levels[cell] + power[cell] * levels[below]) / (1 + power[cell])
    return np.array(levels).reshape(elevation.shape)


def _relax(elevation: np.ndarray, spacing: float) -> np.ndarray:
    """No wall steeper than `_STABLE_SLOPE`: the lower envelope of cones, grown cell by cell."""
    rise = _STABLE_SLOPE * spacing * np.hypot(*np.mgrid[-1:2, -1:2])
    for _ in range(20):
        elevation = ndimage.grey_erosion(elevation, structure=-rise, mode="nearest")
    return ndimage.gaussian_filter(elevation, 0.8)


def stream_points(terrain: Terrain, least_km2: float, step: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points along every stream with a catchment of at least `least_km2`, about `step` metres apart.

    Returns:
        x, y (metres) and catchment (km2), each one-dimensional; the zigzag of the cells is smoothed away.
    """
    area = terrain.catchment.ravel()
    towards = terrain.receiver.ravel()
    x, y = (axis.ravel().astype(np.float64) for axis in terrain.grid.centers())
    stream = np.flatnonzero((area >= least_km2) & (towards != np.arange(area.size)))
    for _ in range(4):
        x, y = _downstream_mean(x, stream, towards), _downstream_mean(y, stream, towards)
    count = int(np.ceil(2 * terrain.grid.spacing / step))
    part = np.arange(count) / count
    start_x, start_y = x[stream, None], y[stream, None]
    along_x = start_x + (x[towards[stream], None] - start_x) * part
    along_y = start_y + (y[towards[stream], None] - start_y) * part
    return along_x.ravel(), along_y.ravel(), np.repeat(area[stream], count)


def _downstream_mean(values: np.ndarray, stream: np.ndarray, towards: np.ndarray) -> np.ndarray:
    """Each stream cell halfway to its receiver: repeated, a smooth line that still joins at confluences."""
    moved = values.copy()
    moved[stream] = (values[stream] + values[towards[stream]]) / 2
    return moved
