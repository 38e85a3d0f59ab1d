"""The landscape is a place: water runs down, slumps are bare bowls on slopes beside water."""

import dataclasses

import numpy as np
import pytest
import shapely

from darts_core.synthetic.grid import Grid, SyntheticError
from darts_core.synthetic.landscape import Landscape, make_landscape
from darts_core.synthetic.slumps import REACH, signed_distance
from darts_core.synthetic.surface import BANDS, Surface, surface
from darts_core.synthetic.terrain import carve


@pytest.fixture(scope="module")
def ground(landscape: Landscape) -> Surface:
    return surface(landscape, *landscape.grid.centers(), landscape.grid.spacing)


def test_same_seed_same_landscape_other_seed_another() -> None:
    extent = (484_000.0, 7_536_000.0, 485_000.0, 7_537_000.0)
    first, again, other = make_landscape(3, extent), make_landscape(3, extent), make_landscape(4, extent)
    for field in dataclasses.fields(Landscape):
        values = getattr(first, field.name)
        if isinstance(values, np.ndarray):
            np.testing.assert_array_equal(values, getattr(again, field.name))
            assert values.shape == first.grid.shape
            assert values.dtype == np.float32
    assert first.slumps == again.slumps
    assert np.abs(first.elevation - other.elevation).max() > 5


@pytest.mark.parametrize(
    ("seed", "extent"),
    [(-1, (0.0, 0.0, 2000.0, 2000.0)), (1, (0.0, 0.0, 500.0, 2000.0)), (1, (0.0, 0.0, 2001.0, 2000.0))],
)
def test_impossible_landscapes_are_refused(seed: int, extent: tuple[float, float, float, float]) -> None:
    with pytest.raises(SyntheticError, match="Expected"):
        make_landscape(seed, extent)


def test_every_cell_drains_downhill_to_the_southern_edge() -> None:
    grid = Grid(0.0, 3000.0, 30.0, 100, 90)
    terrain = carve(grid, 11)
    towards = terrain.receiver.ravel()
    assert (terrain.catchment.ravel()[towards] >= terrain.catchment.ravel()).all()
    for _ in range(grid.height * grid.width):
        onward = towards[towards]
        if (onward == towards).all():
            break
        towards = onward
    assert (towards // grid.width == grid.height - 1).all()
    # what leaves is the rain on every cell, and the river that came in
    leaving = terrain.catchment[-1].sum()
    assert leaving == pytest.approx(grid.height * grid.width * 0.03**2 + 60)


def test_walls_are_no_steeper_than_is_stable() -> None:
    grid = Grid(0.0, 3000.0, 30.0, 100, 100)
    steepest = np.abs(np.diff(carve(grid, 2).elevation, axis=1)).max() / grid.spacing
    assert 0.1 < steepest < 0.37


def test_slumps_are_of_real_number_size_and_place(landscape: Landscape) -> None:
    per_25_km2 = len(landscape.slumps) / 36 * 25
    assert 12 <= per_25_km2 <= 25
    outlines = [slump.outline for slump in landscape.slumps]
    assert all(outline.is_valid and outline.geom_type == "Polygon" for outline in outlines)
    assert all(60 <= slump.length <= 400 for slump in landscape.slumps)
    assert not any(first.intersects(second) for number, first in enumerate(outlines) for second in outlines[:number])


def test_slumps_are_hollows_that_open_downslope(landscape: Landscape) -> None:
    floor = landscape.slump < -12
    assert landscape.depth[floor].min() > 0
    assert landscape.depth[landscape.slump > 0].max() == 0
    for slump in landscape.slumps:
        along = np.array([-0.3, 0.3]) * slump.length
        x, y = (slump.head[axis] + slump.downslope[axis] * along for axis in (0, 1))
        above, floor_level = landscape.sample(landscape.elevation, x, y)
        assert above > floor_level, slump.id


def test_truth_lies_on_low_ndvi_and_is_not_alone_there(landscape: Landscape, ground: Surface) -> None:
    ndvi = ground.ndvi
    inside, tundra = landscape.slump < -5, (landscape.slump > 30) & (ground.water == 0)
    assert np.median(ndvi[inside]) < 0.2
    assert np.percentile(ndvi[inside], 90) < 0.4
    assert np.median(ndvi[tundra]) > 0.4
    # a threshold that finds nine in ten pixels of the slumps must find much rock and gravel as well
    bare = tundra & (ground.snow == 0) & (ndvi < np.percentile(ndvi[inside], 90))
    assert bare.sum() > 0.5 * inside.sum()
    red = ground.reflectance[BANDS.index("red")]
    assert np.median(red[inside]) > np.median(red[tundra])


def test_reflectance_is_physical(ground: Surface) -> None:
    assert ground.reflectance.dtype == np.float32
    assert ground.reflectance.min() > 0
    assert ground.reflectance.max() <= 1


def test_coarse_pixels_see_what_fine_ones_do(landscape: Landscape) -> None:
    bounds = (485_000.0, 7_537_700.0, 486_000.0, 7_538_700.0)
    fine = surface(landscape, *Grid.of(bounds, 5).centers(), 5).reflectance
    coarse = surface(landscape, *Grid.of(bounds, 10).centers(), 10).reflectance
    mean = fine.reshape(len(BANDS), 100, 2, 100, 2).mean((2, 4))
    assert np.abs(mean - coarse).mean() < 0.004


def test_signed_distance_is_that_of_shapely() -> None:
    grid = Grid(0.0, 500.0, 5.0, 100, 100)
    square = shapely.box(200, 200, 320, 300)
    distance = signed_distance(grid, [square])
    x, y = grid.centers()
    outside = shapely.distance(shapely.points(x, y), square)
    np.testing.assert_allclose(np.maximum(distance, 0), np.minimum(outside, REACH), atol=1e-4)
    # the pixel at (262.5, 247.5): the southern side is the nearest
    assert distance[50, 52] == pytest.approx(-47.5)


def test_bounds_outside_are_refused(landscape: Landscape) -> None:
    with pytest.raises(SyntheticError, match="The scene X covers"):
        landscape.require((0, 0, 100, 100), "The scene X")
