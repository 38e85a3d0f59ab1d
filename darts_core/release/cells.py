"""Features in square cells of the release's plane, kept on disk until their cell is worked on."""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from darts_core.release.errors import ReleaseError

if TYPE_CHECKING:
    import geopandas as gpd
    import pyarrow as pa
    import pyproj

CRS = "EPSG:3413"
"""NSIDC polar stereographic north: one plane for the Arctic, also across the antimeridian."""


@cache
def plane() -> pyproj.CRS:
    """`CRS` parsed once: that takes longer than many a cell."""
    import pyproj

    return pyproj.CRS(CRS)


Cell = tuple[int, int]
"""Column and row of a square; the corner of cell (0, 0) is the pole, rows count northwards on the plane."""

_GEOMETRY = "geometry"


def touched(bounds: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
    """Every cell that a box touches: rows of `bounds` with repetition, and cells (n, 2) as int64.

    Args:
        bounds: (n, 4) left, bottom, right, top in metres.
        side: of a cell, metres.
    """
    low, high = corners(bounds, side)
    spans = high - low + 1
    rows = np.repeat(np.arange(len(bounds)), spans.prod(axis=1))
    # the place of each repetition within its own row, counted over the columns of its cells
    place = np.arange(len(rows)) - np.repeat(np.cumsum(spans.prod(axis=1)) - spans.prod(axis=1), spans.prod(axis=1))
    down, across = np.divmod(place, spans[rows, 0])
    return rows, low[rows] + np.column_stack([across, down])


def corners(bounds: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
    """The cells (n, 2) of the lower left and the upper right corner of boxes (n, 4)."""
    return cells_of(bounds[:, :2], side), cells_of(bounds[:, 2:], side)


def cells_of(points: np.ndarray, side: float) -> np.ndarray:
    """The cell (n, 2) int64 of each point (n, 2) in metres."""
    return np.floor(points / side).astype(np.int64)


class Spill:
    """Rows by cell in a folder: added in any order, read one cell at a time.

    What is added waits in memory until `waiting` rows are there, and is then appended to the file of its cell, so
    that neither the number of cells nor that of rows costs memory. A file is a sequence of Arrow IPC streams.
    """

    def __init__(self, folder: Path, waiting: int = 20_000) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self._waiting = waiting
        self._count = 0
        self._held: dict[Cell, list[pa.Table]] = defaultdict(list)

    def add(self, frame: gpd.GeoDataFrame, rows: np.ndarray, cells: np.ndarray) -> None:
        """Put row `rows[i]` of a frame in EPSG:3413 into cell `cells[i]`; a row may go into many cells.

        Raises:
            ReleaseError: the frame lies in another CRS.
        """
        import pandas as pd
        import pyarrow as pa
        import shapely

        if frame.crs != plane():
            raise ReleaseError(f"Expected features in {CRS}, received {frame.crs}; move them with to_crs({CRS!r})")
        if not len(rows):
            return
        columns = pd.DataFrame(frame.drop(columns=frame.geometry.name))
        table = pa.Table.from_pandas(columns, preserve_index=False)
        table = table.append_column(_GEOMETRY, pa.array(shapely.to_wkb(frame.geometry.to_numpy()), pa.binary()))
        distinct, number = np.unique(cells, axis=0, return_inverse=True)
        for index, (column, row) in enumerate(distinct):
            self._held[int(column), int(row)].append(table.take(rows[number.ravel() == index]))
        self._count += len(rows)
        if self._count >= self._waiting:
            self._flush()

    def cells(self) -> list[Cell]:
        """The cells that hold rows, sorted."""
        self._flush()
        names = (re.fullmatch(r"(-?\d+)_(-?\d+)", file.stem) for file in self.folder.glob("*.arrows"))
        return sorted((int(name[1]), int(name[2])) for name in names if name)

    def read(self, cell: Cell) -> gpd.GeoDataFrame:
        """All rows of one cell in EPSG:3413, in the order in which they were added; none where it is empty."""
        import geopandas as gpd
        import pyarrow as pa
        import shapely

        self._flush()
        path, tables = self._path(cell), []
        if not path.exists():
            return gpd.GeoDataFrame(geometry=[], crs=plane())
        with pa.OSFile(str(path)) as file:
            while file.tell() < file.size():
                tables.append(pa.ipc.open_stream(file).read_all())
        table = pa.concat_tables(tables, promote_options="default")
        shapes = shapely.from_wkb(table.column(_GEOMETRY).to_numpy())
        return gpd.GeoDataFrame(table.drop_columns([_GEOMETRY]).to_pandas(), geometry=shapes, crs=plane())

    def _flush(self) -> None:
        import pyarrow as pa

        options = pa.ipc.IpcWriteOptions(compression="lz4")
        for cell, tables in self._held.items():
            table = pa.concat_tables(tables, promote_options="default").combine_chunks()
            with (
                open(self._path(cell), "ab") as file,
                pa.ipc.new_stream(file, table.schema, options=options) as stream,
            ):
                stream.write_table(table)
        self._held.clear()
        self._count = 0

    def _path(self, cell: Cell) -> Path:
        return self.folder / f"{cell[0]}_{cell[1]}.arrows"
