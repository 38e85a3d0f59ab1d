"""Outlines of slumps on the pixels of a grid: truth as training and evaluation use it."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
from affine import Affine
from rasterio.features import rasterize
from rasterio.transform import array_bounds
from shapely import box

from darts_core.grids import Grid
from darts_core.windows import Window


def outlines_in(truth: gpd.GeoDataFrame, grid: Grid) -> gpd.GeoSeries:
    """The outlines in the CRS of a grid, without the rows that hold none."""
    outlines = truth.to_crs(grid.crs).geometry
    return outlines[~(outlines.isna() | outlines.is_empty)]


def slump_mask(outlines: gpd.GeoSeries, window: Window, grid: Grid) -> np.ndarray:
    """Outlines on the pixels of a window: uint8 (height, width), 1 where a pixel's centre lies inside one."""
    transform = grid.transform @ Affine.translation(window.col, window.row)
    shape = window.height, window.width
    near = outlines.iloc[outlines.sindex.query(box(*array_bounds(*shape, transform)))]
    if near.empty:
        return np.zeros(shape, np.uint8)
    return rasterize(near, out_shape=shape, transform=transform, fill=0, default_value=1, dtype="uint8")
