"""The demo's world: auxiliary data that covers the scenes, truth that fits them, written once."""

import shutil
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from rasterio.features import geometry_mask
from rasterio.transform import rowcol
from rasterio.warp import transform as reproject_points
from shapely.geometry import box

from darts_core.synthetic.auxiliary import NO_TREND, TRENDS, write_auxiliary
from darts_core.synthetic.grid import SyntheticError
from darts_core.synthetic.landscape import Landscape
from darts_core.synthetic.truth import write_truth
from darts_core.synthetic.world import (
    DEFAULT_SEED,
    MARKER,
    PLANET_BOUNDS,
    SENTINEL2_BOUNDS,
    World,
    make_world,
)


def _around(bounds: tuple[float, float, float, float], margin: float) -> tuple[np.ndarray, np.ndarray]:
    """Points around the bounds, `margin` outside them."""
    outline = box(*bounds).buffer(margin, join_style="mitre").exterior
    points = [outline.interpolate(part, normalized=True) for part in np.linspace(0, 1, 200)]
    return np.array([point.x for point in points]), np.array([point.y for point in points])


@pytest.mark.parametrize("bounds", [SENTINEL2_BOUNDS, PLANET_BOUNDS])
def test_auxiliary_data_reaches_500_m_beyond_the_scenes(
    world: World, bounds: tuple[float, float, float, float]
) -> None:
    x, y = _around(bounds, 499)
    for path in (world.dem, world.trends):
        with rasterio.open(path) as file:
            values = np.array(
                list(file.sample(zip(*reproject_points("EPSG:32608", file.crs, x, y), strict=True), masked=True))
            )
            rows, columns = rowcol(file.transform, *reproject_points("EPSG:32608", file.crs, x, y))
            assert min(columns) >= 0
            assert max(columns) < file.width
            assert min(rows) >= 0
            assert max(rows) < file.height
            if file.nodata is not None:
                assert (values != file.nodata).all()


def test_dem_is_the_elevation_of_the_landscape(world: World, landscape: Landscape) -> None:
    with rasterio.open(world.dem) as file:
        assert file.crs.to_epsg() == 3413
        assert (file.dtypes, file.nodata, file.descriptions) == (("float32",), -9999, ("elevation",))
        rng = np.random.default_rng(0)
        x, y = rng.uniform(486_000, 488_000, 500), rng.uniform(7_537_500, 7_539_500, 500)
        there = reproject_points("EPSG:32608", file.crs, x, y)
        found = np.array(list(file.sample(zip(*there, strict=True))))[:, 0]
    # nearest neighbour at 10 m on slopes of some degrees
    assert np.abs(found - landscape.sample(landscape.elevation, x, y)).mean() < 0.8


def test_trends_fall_in_greenness_at_slumps(world: World) -> None:
    outlines = gpd.read_file(world.truth)
    with rasterio.open(world.trends) as file:
        assert file.crs.to_epsg() == 4326
        assert file.dtypes == ("uint8",) * 3
        assert file.descriptions == TRENDS
        brightness, greenness, wetness = file.read().astype(int)
        slump = geometry_mask(outlines.geometry, file.shape, file.transform, invert=True)
        around = outlines.to_crs("EPSG:32608").buffer(60).to_crs(outlines.crs)
        away = geometry_mask(around, file.shape, file.transform)
    assert greenness[slump].mean() < NO_TREND - 20
    assert brightness[slump].mean() > NO_TREND + 10
    assert wetness[slump].mean() > NO_TREND + 8
    assert abs(np.median(greenness[away]) - NO_TREND) < 6


def test_truth_lies_on_low_ndvi_in_the_scene(world: World) -> None:
    outlines = gpd.read_file(world.truth)
    assert outlines.crs.to_epsg() == 4326
    assert outlines["id"].is_unique
    numbers = {}
    for name in ("B04", "B08", "SCL"):
        (path,) = world.sentinel2.glob(f"GRANULE/*/IMG_DATA/*/*_{name}_*.jp2")
        with rasterio.open(path) as file:
            numbers[name] = file.read(1).astype(float)
            if name == "B04":
                inside = geometry_mask(outlines.to_crs(file.crs).geometry, file.shape, file.transform, invert=True)
    clear = np.isin(numbers["SCL"], (4, 5)).repeat(2, 0).repeat(2, 1)
    red, nir = ((numbers[name] - 1000) / 1e4 for name in ("B04", "B08"))
    ndvi = (nir - red) / np.where(nir + red == 0, np.nan, nir + red)
    assert (inside & clear).sum() > 800
    assert np.median(ndvi[inside & clear]) < 0.25
    assert np.median(ndvi[~inside & clear]) > 0.4


def test_scenes_share_slumps_to_merge(world: World) -> None:
    outlines = gpd.read_file(world.truth).to_crs("EPSG:32608")
    both = box(*SENTINEL2_BOUNDS).intersection(box(*PLANET_BOUNDS))
    assert outlines.within(both).sum() >= 2
    assert outlines.within(box(*SENTINEL2_BOUNDS)).sum() >= 8
    assert outlines.within(box(*PLANET_BOUNDS)).sum() >= 4


def test_a_second_call_writes_nothing(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(world.scenes.parent, folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    again = make_world(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert again.sentinel2 == folder / world.sentinel2.relative_to(world.scenes.parent)
    assert again.truth.is_file()
    assert again.scenes.is_dir()


def test_a_damaged_world_is_made_whole_with_the_same_bytes(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(world.scenes.parent, folder)
    whole = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    (damaged,) = folder.glob("scenes/*/GRANULE/*/IMG_DATA/*/*_B04_10m.jp2")
    damaged.write_bytes(whole[damaged][:100])
    (folder / "auxiliary" / "dem.tif").unlink()
    make_world(folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == whole
    assert (folder / MARKER).is_file()


def test_another_seeds_world_is_not_written_over(world: World) -> None:
    with pytest.raises(SyntheticError, match=f"seed {DEFAULT_SEED} .*Choose another folder"):
        make_world(world.scenes.parent, DEFAULT_SEED + 1)


def test_the_world_is_small(world: World) -> None:
    assert sum(path.stat().st_size for path in world.scenes.parent.rglob("*") if path.is_file()) < 30e6


@pytest.mark.parametrize(("suffix", "epsg"), [(".geojson", 4326), (".gpkg", 32608)])
def test_truth_is_the_outlines(landscape: Landscape, tmp_path: Path, suffix: str, epsg: int) -> None:
    area = (486_000.0, 7_538_000.0, 487_000.0, 7_539_000.0)
    found = gpd.read_file(write_truth(tmp_path / f"truth{suffix}", landscape, area))
    assert found.crs.to_epsg() == epsg
    expected = {slump.id: slump.outline for slump in landscape.slumps if slump.outline.intersects(box(*area))}
    assert set(found["id"]) == set(expected)
    for number, outline in zip(found["id"], found.to_crs("EPSG:32608").geometry, strict=True):
        assert outline.symmetric_difference(expected[number]).area < 0.5


def test_truth_of_an_empty_place_is_an_empty_layer(landscape: Landscape, tmp_path: Path) -> None:
    rows, columns = np.nonzero(landscape.slump[100:-100, 100:-100] >= 60)
    west = landscape.grid.west + (columns[0] + 100) * landscape.grid.spacing
    south = landscape.grid.north - (rows[0] + 101) * landscape.grid.spacing
    area = (west, south, west + 20, south + 20)
    found = gpd.read_file(write_truth(tmp_path / "truth.geojson", landscape, area))
    assert len(found) == 0


def test_wrong_requests_are_refused(landscape: Landscape, tmp_path: Path) -> None:
    with pytest.raises(SyntheticError, match=r"\.geojson, \.gpkg"):
        write_truth(tmp_path / "truth.shp", landscape, SENTINEL2_BOUNDS)
    with pytest.raises(SyntheticError, match="with its margin"):
        write_auxiliary(tmp_path, landscape, landscape.grid.bounds, 1)
