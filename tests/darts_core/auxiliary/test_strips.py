"""Warping in strips: the same bits for any part, near to where GDAL places every pixel exactly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds

from darts_core.auxiliary import strips
from darts_core.auxiliary.strips import TRANSFORM_ERROR, read_strips

HEIGHT, WIDTH = 60, 300
PLACE = Affine(3, 0, 500_000, 0, -3, 7_700_000)


@pytest.fixture(scope="module", autouse=True)
def narrow_strips() -> Iterator[None]:
    """So that a small raster has several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strips, "_COLUMNS", 64)
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raster in EPSG:3413 around the grid, whose value is its column plus its row."""
    corner = PLACE @ (WIDTH, HEIGHT)
    left, bottom, right, top = transform_bounds("EPSG:32608", "EPSG:3413", PLACE.c, corner[1], corner[0], PLACE.f)
    height, width = int((top - bottom) / 10) + 100, int((right - left) / 10) + 100
    values = np.add(*np.indices((height, width)), dtype="float32")[None]
    path = tmp_path_factory.mktemp("strips") / "plane.tif"
    profile = {"driver": "GTiff", "count": 1, "height": height, "width": width, "dtype": "float32"}
    where = Affine(10, 0, left - 500, 0, -10, top + 500)
    with rasterio.open(path, "w", crs=CRS.from_epsg(3413), transform=where, **profile) as raster:
        raster.write(values)
    return path


@contextmanager
def warped(source: Path, buffer: int = 0, tolerance: float = TRANSFORM_ERROR) -> Iterator[WarpedVRT]:
    place = PLACE @ Affine.translation(-buffer, 0)
    options = {"crs": CRS.from_epsg(32608), "transform": place, "height": HEIGHT, "width": WIDTH + 2 * buffer}
    scales = {"XSCALE": 1.0, "YSCALE": 1.0}
    bilinear = rasterio.enums.Resampling.bilinear
    with (
        rasterio.open(source) as raster,
        WarpedVRT(raster, resampling=bilinear, tolerance=tolerance, **options, **scales) as grid,
    ):
        yield grid


def everything(grid: WarpedVRT, origin: int = 0) -> np.ndarray:
    return read_strips(grid, [1], slice(0, grid.height), slice(0, grid.width), origin)


@given(
    rows=st.lists(st.integers(0, HEIGHT), min_size=2, max_size=2, unique=True).map(sorted),
    cols=st.lists(st.integers(0, WIDTH), min_size=2, max_size=2, unique=True).map(sorted),
)
def test_a_part_has_the_bits_of_the_whole(source: Path, rows: list[int], cols: list[int]) -> None:
    with warped(source) as grid:
        part = read_strips(grid, [1], slice(*rows), slice(*cols))
        np.testing.assert_array_equal(part, everything(grid)[:, slice(*rows), slice(*cols)])


@pytest.mark.parametrize("buffer", [1, 34, 64, 100])
def test_a_buffer_changes_the_scene_by_no_more_than_is_afforded(source: Path, buffer: int) -> None:
    with warped(source) as grid, warped(source, buffer) as wide:
        inside = everything(wide, buffer)[:, :, buffer : buffer + WIDTH]
        # the plane rises by 2 from one pixel of the source to the next, diagonally
        np.testing.assert_allclose(inside, everything(grid), rtol=0, atol=2 * TRANSFORM_ERROR)


def test_positions_are_off_by_no_more_than_is_afforded(source: Path) -> None:
    with warped(source) as grid, warped(source, tolerance=1e-9) as exact:
        strips_values, exact_values = everything(grid), everything(exact)
    assert np.abs(strips_values - exact_values).max() < 2 * TRANSFORM_ERROR
    assert np.ptp(exact_values) > 50
