"""A north-up grid in world coordinates: where its pixels lie, and bilinear sampling between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from darts_core.errors import DartsError

CRS = "EPSG:32608"
"""UTM zone 8 north: where the synthetic world lies."""

Bounds = tuple[float, float, float, float]
"""West, south, east, north in metres of `CRS`."""


class SyntheticError(DartsError):
    """A synthetic scene was asked for that cannot be made."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Square pixels; row 0 lies in the north, column 0 in the west."""

    west: float
    """Easting of the outer western edge, metres."""
    north: float
    """Northing of the outer northern edge, metres."""
    spacing: float
    """Size of a pixel, metres."""
    height: int
    """Rows."""
    width: int
    """Columns."""

    @classmethod
    def of(cls, bounds: Bounds, spacing: float) -> Grid:
        """The grid that fills `bounds`.

        Raises:
            SyntheticError: bounds that are empty, or not a whole number of pixels.
        """
        west, south, east, north = bounds
        width, height = (east - west) / spacing, (north - south) / spacing
        if width < 1 or height < 1 or width % 1 or height % 1:
            raise SyntheticError(
                f"Expected bounds (west, south, east, north) of whole pixels of {spacing:g} m, received {bounds}, "
                f"which are {width:g} x {height:g} pixels"
            )
        return cls(west, north, spacing, int(height), int(width))

    @property
    def bounds(self) -> Bounds:
        """West, south, east, north of the outer edges."""
        south = self.north - self.height * self.spacing
        return self.west, south, self.west + self.width * self.spacing, self.north

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.height, self.width

    def centers(self) -> tuple[np.ndarray, np.ndarray]:
        """Easting and northing of every pixel centre; float64, axes (y, x)."""
        x = self.west + (np.arange(self.width) + 0.5) * self.spacing
        y = self.north - (np.arange(self.height) + 0.5) * self.spacing
        return np.broadcast_to(x, self.shape), np.broadcast_to(y[:, None], self.shape)

    def index(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Fractional (row, column) of world coordinates; whole numbers are pixel centres."""
        return (self.north - y) / self.spacing - 0.5, (x - self.west) / self.spacing - 0.5

    def sample(self, values: np.ndarray, x: np.ndarray, y: np.ndarray, order: int = 1) -> np.ndarray:
        """`values` (y, x) at world coordinates: order 1 bilinear, 3 cubic; the edge value beyond the grid."""
        return ndimage.map_coordinates(values, self.index(x, y), order=order, mode="nearest")
