"""Where a Sentinel-2 tile lies, from its name alone.

Source: the Military Grid Reference System (NGA.STND.0037): 100 km squares of UTM zones, whose column letters recur
every three zones and whose row letters every 2000 km, shifted by five letters in even zones. A Sentinel-2 tile begins
at the upper left corner of its square and is 109.8 km a side (Sentinel-2 Products Specification Document).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from darts_core.catalogue.found import CatalogueError

if TYPE_CHECKING:
    from darts_core.grids import Grid

_NAME = re.compile(r"(?:MGRS-)?T?(\d{1,2})([C-HJ-NP-X])([A-HJ-NP-Z])([A-HJ-NP-V])", re.IGNORECASE)
_BANDS = "CDEFGHJKLMNPQRSTUVWX"
_COLUMNS = ("ABCDEFGH", "JKLMNPQR", "STUVWXYZ")
_ROWS = "ABCDEFGHJKLMNPQRSTUV"
_SQUARE = 100_000
_TILE = 109_800
_CYCLE = 2_000_000
_SOUTHERN = 10_000_000
"""False northing of UTM south of the equator."""


def tile_name(text: str) -> str:
    """The name of a tile (``T08WMA``) from one of its ways to be written: ``08WMA``, ``8WMA``, ``MGRS-8WMA``.

    Raises:
        CatalogueError: none of these.
    """
    found = _NAME.fullmatch(text.strip())
    if not found or not 1 <= int(found[1]) <= 60 or found[3].upper() not in _COLUMNS[(int(found[1]) - 1) % 3]:
        raise CatalogueError(f"Expected an MGRS tile such as T08WMA, received {text!r}")
    return f"T{int(found[1]):02}{''.join(found.groups()[1:]).upper()}"


def is_tile(text: str) -> bool:
    """Whether a text is the name of a tile."""
    try:
        return tile_name(text) == text
    except CatalogueError:
        return False


def tile_grid(tile: str) -> Grid:
    """The area of a tile (``T08WMA``), as a grid of one pixel in its UTM zone."""
    from affine import Affine
    from pyproj import Transformer
    from rasterio.crs import CRS

    from darts_core.grids import Grid

    zone, band, column, row = int(tile[1:3]), tile[3], tile[4], tile[5]
    north = band >= "N"
    crs = CRS.from_epsg((32600 if north else 32700) + zone)
    left = (_COLUMNS[(zone - 1) % 3].index(column) + 1) * _SQUARE
    rows = (_ROWS.index(row) - (0 if zone % 2 else 5)) % len(_ROWS)
    south = -80 + 8 * _BANDS.index(band)
    _, lowest = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(zone * 6 - 183, south)
    lowest -= 0 if north else _SOUTHERN
    bottom = rows * _SQUARE + (0 if north else -_SOUTHERN)
    # the first cycle whose square is not wholly below the band
    while bottom + _SQUARE <= lowest:
        bottom += _CYCLE
    top = bottom + _SQUARE + (0 if north else _SOUTHERN)
    return Grid(crs, Affine(_TILE, 0, left, 0, -_TILE, top), 1, 1)
