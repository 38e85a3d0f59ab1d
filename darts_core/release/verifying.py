"""What must hold of a release before it is published, asked of its files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from darts_core.vectors.schema import RELEASE_SCHEMA, SchemaError, require_schema

if TYPE_CHECKING:
    import geopandas as gpd


def faults_of_release(tiles: Iterable[Path], coverage: Path | None) -> list[str]:
    """What is wrong with a release; one tile of it is held at a time, and eight bytes for each id.

    Args:
        tiles: its GeoParquet files, named after their cells.
        coverage: its raster of looks; None where extents are unknown.

    Returns:
        One line a kind of fault and tile: columns that depart from the schema, ids that are not unique, geometries
        that are not valid, slumps where nobody looked.
    """
    import geopandas as gpd

    faults: list[str] = []
    ids: set[int] = set()
    for file in tiles:
        frame, name = gpd.read_parquet(file), file.stem
        try:
            require_schema(frame, RELEASE_SCHEMA, name)
        except SchemaError as departures:
            faults.append(str(departures))
            continue
        hashed = [hash(one) for one in frame["id"]]
        twice = len(hashed) - len(set(hashed)) + len(ids & set(hashed))
        ids.update(hashed)
        wrong = int((~frame.geometry.is_valid | frame.geometry.is_empty).sum())
        outside = 0 if coverage is None or frame.empty else _unseen(frame, coverage)
        faults += [f"{name}: {twice} ids that another slump has"] if twice else []
        faults += [f"{name}: {wrong} geometries that are not valid or empty"] if wrong else []
        faults += [f"{name}: {outside} slumps where the coverage says that nobody looked"] if outside else []
    return faults


def _unseen(frame: gpd.GeoDataFrame, coverage: Path) -> int:
    """Slumps with no look at the pixel of the coverage that they lie in, nor at one beside it: it counts halves."""
    import rasterio
    from rasterio.windows import Window
    from scipy.ndimage import maximum_filter

    points = frame.geometry.representative_point()
    with rasterio.open(coverage) as raster:
        cols, rows = (
            np.floor(axis).astype(int) for axis in ~raster.transform @ (points.x.to_numpy(), points.y.to_numpy())
        )
        window = Window(cols.min() - 1, rows.min() - 1, np.ptp(cols) + 3, np.ptp(rows) + 3)
        looks = raster.read(1, window=window, boundless=True, fill_value=0)
    seen = maximum_filter(looks, 3) > 0
    return int((~seen[rows - rows.min() + 1, cols - cols.min() + 1]).sum())
