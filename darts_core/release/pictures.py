"""The coverage and the slumps of a release as one small picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from darts_core.release.cells import Cell
from darts_core.release.coverage import TILE_PX, TILE_SIDE

if TYPE_CHECKING:
    from PIL import Image

REDUCED = 32
"""Pixels a side of a tile in the picture: 10.24 km each."""

_GROUND = np.array([(16, 20, 42), (38, 50, 92), (84, 108, 160)], float)
_SLUMP = (250, 180, 60)


class Overview:
    """Tiles as they come, in about 10 km: how often places were looked at, and where slumps are."""

    def __init__(self) -> None:
        self._looks: dict[Cell, np.ndarray] = {}
        self._slumps: dict[Cell, np.ndarray] = {}

    def look(self, cell: Cell, coverage: np.ndarray) -> None:
        """Take the coverage (3, TILE_PX, TILE_PX) of a tile; the most looks within a pixel count."""
        step = TILE_PX // REDUCED
        self._looks[cell] = coverage[0].reshape(REDUCED, step, REDUCED, step).max(axis=(1, 3))

    def slumps(self, cell: Cell, bounds: np.ndarray) -> None:
        """Take the bounds (n, 4) of a tile's slumps, metres in EPSG:3413."""
        places = (bounds[:, :2] + bounds[:, 2:]) / 2 / TILE_SIDE - cell
        cols, rows = np.clip(places * REDUCED, 0, REDUCED - 1).astype(int).T
        found = np.zeros((REDUCED, REDUCED), bool)
        found[REDUCED - 1 - rows, cols] = True
        self._slumps[cell] = found

    def ground(self) -> Image.Image:
        """The looks as a picture over `bounds`, brighter where there were more."""
        return self._drawn(slumps=False)

    def picture(self) -> Image.Image:
        """The looks, and slumps on them."""
        return self._drawn(slumps=True)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top of all tiles in metres, EPSG:3413."""
        left, bottom, right, top = self._tiles()
        return left * TILE_SIDE, bottom * TILE_SIDE, right * TILE_SIDE, top * TILE_SIDE

    def _tiles(self) -> tuple[int, int, int, int]:
        columns, rows = zip(*({*self._looks, *self._slumps} or {(0, 0)}), strict=True)
        return min(columns), min(rows), max(columns) + 1, max(rows) + 1

    def _drawn(self, *, slumps: bool) -> Image.Image:
        from PIL import Image

        left, bottom, right, top = self._tiles()
        looks = np.zeros(((top - bottom) * REDUCED, (right - left) * REDUCED))
        found = np.zeros(looks.shape, bool)
        for array, tiles in ((looks, self._looks), (found, self._slumps)):
            for (column, row), values in tiles.items():
                y, x = (top - 1 - row) * REDUCED, (column - left) * REDUCED
                array[y : y + REDUCED, x : x + REDUCED] = values
        share = np.where(looks > 0, 1 + np.log1p(looks) / np.log1p(max(looks.max(), 1)), 0)
        colours = np.stack([np.interp(share, range(3), _GROUND[:, band]) for band in range(3)], axis=-1)
        if slumps:
            colours[found] = _SLUMP
        return Image.fromarray(np.rint(colours).astype(np.uint8))
