"""Areas of interest against pixels tested one by one."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rioxarray  # noqa: F401
import shapely
import xarray as xr
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from darts_core.grids import Grid
from darts_core.inference.source import VALID
from darts_core.superresolution.area import Area, AreaError, crop, cut, read_area
from darts_core.windows import Window

ROWS, COLS = 9, 12
NORTH_UP = Affine(10, 0, 500000, 0, -10, 5700000)
TURNED = Affine(8, 6, 500000, 6, -8, 5700000)

points = st.tuples(st.floats(-3, COLS + 3), st.floats(-3, ROWS + 3))
polygons = (
    st.lists(points, min_size=3, max_size=6)
    .map(lambda corners: shapely.convex_hull(shapely.MultiPoint(corners)))
    .filter(lambda shape: shape.area > 0.1)
)
grids = st.sampled_from([NORTH_UP, TURNED])


def scene(transform: Affine) -> xr.Dataset:
    numbers = np.arange(ROWS * COLS, dtype="float32").reshape(ROWS, COLS)
    variables = {"red": (("y", "x"), numbers), VALID: (("y", "x"), numbers != 5)}
    return xr.Dataset(variables).rio.write_crs(32631).rio.write_transform(transform)


def in_the_world(shape: shapely.Geometry, transform: Affine) -> shapely.Geometry:
    """A shape drawn in columns and rows."""
    return shapely.transform(shape, lambda xy: np.column_stack(transform @ (xy[:, 0], xy[:, 1])))


def pixels_where(condition) -> np.ndarray:
    """Bool (rows, cols) of a condition on each pixel as a square."""
    return np.array(
        [[condition(shapely.box(col, row, col + 1, row + 1)) for col in range(COLS)] for row in range(ROWS)]
    )


@given(polygons, grids)
def test_what_a_polygon_touches_is_kept_and_the_rest_is_not_valid(shape: shapely.Geometry, transform: Affine) -> None:
    whole = scene(transform)
    overlapping = pixels_where(lambda pixel: pixel.intersection(shape).area > 1e-5)
    touching = pixels_where(lambda pixel: pixel.buffer(1e-5).intersects(shape))
    area = Area("drawn", in_the_world(shape, transform), None, masked=True)
    try:
        part = crop(whole, area)
    except AreaError:
        assert not overlapping.any()
        return
    kept = np.isin(whole["red"], part["red"].values[part[VALID].values])
    assert not (overlapping & whole[VALID].values & ~kept).any()
    assert not (kept & ~touching).any()
    assert part["red"].size <= np.ptp(np.argwhere(touching), axis=0).__add__(1).prod()


@given(st.tuples(st.integers(0, COLS - 1), st.integers(0, ROWS - 1), st.integers(1, 5), st.integers(1, 5)), grids)
def test_edges_on_pixel_edges_take_no_neighbour(place: tuple[int, int, int, int], transform: Affine) -> None:
    col, row, width, height = place
    box = in_the_world(shapely.box(col, row, col + width, row + height), transform)
    whole = scene(transform)
    for masked in (False, True):
        part = crop(whole, Area("box", box, None, masked))
        assert part["red"].equals(cut(whole, Window(row, col, min(height, ROWS - row), min(width, COLS - col)))["red"])
        assert part[VALID].sum() == whole[VALID].values[row : row + height, col : col + width].sum()


@given(grids, st.integers(0, ROWS - 1), st.integers(0, COLS - 1))
def test_a_cut_lies_where_its_pixels_were(transform: Affine, row: int, col: int) -> None:
    whole = scene(transform)
    part = cut(whole, Window(row, col, ROWS - row, COLS - col))
    assert Grid.of(part).transform @ (0, 0) == pytest.approx(transform @ (col, row))
    assert Grid.of(part).resolution == pytest.approx(Grid.of(whole).resolution)
    np.testing.assert_array_equal(part["red"], whole["red"][row:, col:])


def test_a_file_may_have_any_crs_and_rows_without_area(tmp_path: Path) -> None:
    drawn = in_the_world(shapely.box(2.3, 1.2, 4.1, 3.9), NORTH_UP)
    frame = gpd.GeoDataFrame({"id": [None, 1, 2]}, geometry=[drawn, None, shapely.Point(0, 0)], crs=32631)
    frame.to_crs(4326).to_file(tmp_path / "field.gpkg")
    part = crop(scene(NORTH_UP), read_area(str(tmp_path / "field.gpkg")))
    assert part["red"].shape == (3, 3)
    assert part["red"].values[0, 0] == COLS + 2


@pytest.mark.parametrize("content", ["not a vector file", '{"type": "FeatureCollection", "features": []}'])
def test_a_file_without_polygons_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.geojson").write_text(content)
    with pytest.raises(AreaError, match=r"a\.geojson"):
        read_area(str(tmp_path / "a.geojson"))


def test_what_is_no_crs_is_named() -> None:
    with pytest.raises(AreaError, match="EPSG:1 "):
        crop(scene(NORTH_UP), read_area("0,0,1,1", "EPSG:1 "))
