"""The slumps of a release as files: one GeoParquet dataset, a file a tile, and a GeoPackage."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from darts_core.release.cells import Cell, plane
from darts_core.release.coverage import TILE_SIDE
from darts_core.vectors.files import write_geoparquet
from darts_core.vectors.schema import RELEASE_SCHEMA, frame_of

if TYPE_CHECKING:
    import geopandas as gpd

ROWS = 4096
"""Rows a group of a GeoParquet file: what a reader of a small region fetches at least."""

EMPTY = "none.parquet"
"""The one file of a release without slumps; it holds the schema."""


def tile_name(cell: Cell) -> str:
    """The name of a tile: its column and row on the plane, counted from the pole."""
    return f"x{cell[0]}_y{cell[1]}"


def tile_bounds(cell: Cell) -> tuple[float, float, float, float]:
    """Left, bottom, right, top of a tile in metres, EPSG:3413."""
    left, bottom = cell[0] * TILE_SIDE, cell[1] * TILE_SIDE
    return left, bottom, left + TILE_SIDE, bottom + TILE_SIDE


def write_tile(slumps: gpd.GeoDataFrame, cell: Cell, folder: Path) -> Path:
    """Write the slumps of one tile along a Hilbert curve, so that a row group is a small region.

    The same rows give the same bytes, in whatever order they come.
    """
    distance = slumps.hilbert_distance(total_bounds=tile_bounds(cell)).to_numpy()
    ordered = slumps.iloc[np.lexsort((slumps["id"].to_numpy(object), distance))]
    path = folder / f"{tile_name(cell)}.parquet"
    write_geoparquet(ordered.reset_index(drop=True), path, rows=ROWS)
    return path


def write_empty(folder: Path) -> None:
    """Write the dataset of a release without slumps."""
    write_geoparquet(nothing(), folder / EMPTY)


def nothing() -> gpd.GeoDataFrame:
    """A release without slumps; it keeps the schema."""
    return frame_of({column.name: [] for column in RELEASE_SCHEMA}, [], plane(), RELEASE_SCHEMA)


def read_tiles(folder: Path) -> Iterator[tuple[Cell, gpd.GeoDataFrame]]:
    """The slumps of a dataset, one tile at a time, sorted by tile."""
    import geopandas as gpd

    names = (re.fullmatch(r"x(-?\d+)_y(-?\d+)", file.stem) for file in folder.glob("*.parquet"))
    for cell in sorted((int(name[1]), int(name[2])) for name in names if name):
        yield cell, gpd.read_parquet(folder / f"{tile_name(cell)}.parquet")
