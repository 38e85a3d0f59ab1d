"""Where slumps were looked for: outlines of masks, looks at slumps, and the raster that counts them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import rioxarray  # noqa: F401  (registers the .rio accessor)
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import Point, box

from darts_core.contracts import conform
from darts_core.inference.geotiff import blocks_of, write_cog
from darts_core.release import Look, ReleaseError, extent_of, read_extent
from darts_core.release.cells import Spill
from darts_core.release.coverage import RESOLUTION, TILE_PX, TILE_SIDE, burn, count_looks, spill_look, write_coverage
from darts_core.release.looks import looks_at

NOON = datetime(2021, 7, 1, 12, tzinfo=UTC)
DAY = (NOON - datetime(1970, 1, 1, tzinfo=UTC)).days


def look(name: str, extent: object, minutes: float = 0, sensor: str = "S2") -> Look:
    return Look(name, sensor, NOON + timedelta(minutes=minutes), extent)


def mask(shape: tuple[int, int], looked: np.ndarray, crs: str = "EPSG:32608", metres: float = 10) -> xr.Dataset:
    axes = {"y": 7.5e6 - (np.arange(shape[0]) + 0.5) * metres, "x": 5e5 + (np.arange(shape[1]) + 0.5) * metres}
    variables = {
        "probabilities_percent": (("y", "x"), np.zeros(shape, np.uint8)),
        "binarized_segmentation": (("y", "x"), np.zeros(shape, np.uint8)),
        "extent": (("y", "x"), looked),
    }
    return conform(xr.Dataset(variables, axes).rio.write_crs(crs).rio.write_transform(), "postprocessed", "test")


def test_an_extent_is_where_the_mask_was_looked_at(tmp_path: Path) -> None:
    looked = np.zeros((600, 800), bool)
    looked[100:500, 200:800] = True
    looked[300:350, 400:450] = False
    product = mask((600, 800), looked)
    ours = extent_of(product["extent"].chunk({"y": 256}))
    write_cog(blocks_of(product, "postprocessed"), tmp_path / "mask.tif")
    read = read_extent(tmp_path / "mask.tif")
    hole = box(504_000, 7.5e6 - 3500, 504_500, 7.5e6 - 3000)
    truth = box(502_000, 7.5e6 - 5000, 508_000, 7.5e6 - 1000).difference(hole)
    for extent in (ours, read):
        back = gpd.GeoSeries([extent], crs=3413).to_crs(32608)[0]
        assert back.is_valid
        assert back.symmetric_difference(truth).area < 0.001 * truth.area
    assert extent_of(mask((600, 800), np.zeros((600, 800), bool))["extent"]).is_empty


def test_a_raster_without_an_extent_is_refused(tmp_path: Path) -> None:
    product = mask((20, 20), np.ones((20, 20), bool))[["binarized_segmentation"]]
    write_cog(blocks_of(product, "postprocessed"), tmp_path / "mask.tif")
    with pytest.raises(ReleaseError, match=r"mask\.tif has the bands .*binarized_segmentation.*expected .*extent"):
        read_extent(tmp_path / "mask.tif")


@settings(max_examples=25)
@given(
    looks=st.lists(
        st.tuples(
            st.integers(0, 40), st.integers(0, 40), st.integers(5, 40), st.sampled_from([0, 4, 8, 12, 95, 1500]),
            st.sampled_from(["S2", "PS"]),
        ),
        min_size=1,
        max_size=8,
    ),
    order=st.randoms(use_true_random=False),
)  # fmt: skip
def test_pixels_and_slumps_count_the_same_looks(
    tmp_path_factory: pytest.TempPathFactory, looks: list, order: object
) -> None:
    """A slump within a pixel is looked at as often as that pixel, and that is what `looks_at` says of its scenes."""
    spill = Spill(tmp_path_factory.mktemp("looks") / "spill")
    made = [
        look(f"{number}", box(x, -y - side, x + side, -y), minutes, sensor)
        for number, (x, y, side, minutes, sensor) in enumerate(looks)
        for x, y, side in [(x * RESOLUTION, y * RESOLUTION, side * RESOLUTION)]
    ]
    order.shuffle(made)  # type: ignore[attr-defined]
    for one in made:
        spill_look(one, spill)
    extents = spill.read((0, -1))
    counted, first, last = burn(extents, (0, -1))[:, :90, :90]
    rows, cols = (axis.ravel()[::7] for axis in np.indices(counted.shape))
    centres = np.column_stack([cols + 0.5, -rows - 0.5]) * RESOLUTION
    places = [Point(centre).buffer(9) for centre in centres]
    slumps = gpd.GeoDataFrame({"observations": 0}, index=range(len(places)), geometry=places, crs=3413)
    np.testing.assert_array_equal(count_looks(slumps, extents), counted[rows, cols])
    for place, row, col in zip(places[::50], rows[::50], cols[::50], strict=True):
        seen = [one for one in made if one.extent.contains(place)]
        sensors = np.array([{"S2": 0, "PS": 1}[one.sensor] for one in seen], int)
        times = np.array([one.acquired.timestamp() for one in seen], int)
        assert counted[row, col] == len(set(looks_at(np.zeros(len(seen), int), sensors, times)))
        days = [(one.acquired - datetime(1970, 1, 1, tzinfo=UTC)).days for one in seen]
        assert (first[row, col], last[row, col]) == ((min(days), max(days)) if days else (0, 0))


def test_a_slump_is_looked_at_as_often_as_it_was_observed(tmp_path: Path) -> None:
    spill = Spill(tmp_path / "spill")
    spill_look(look("a", box(0, 0, 1000, 1000)), spill)
    slumps = gpd.GeoDataFrame({"observations": [1, 2]}, geometry=[Point(5, 5).buffer(1), Point(5000, 5).buffer(1)])
    assert count_looks(slumps, spill.read((0, 0))).tolist() == [1, 2]


def test_the_coverage_is_one_raster_over_all_tiles(tmp_path: Path) -> None:
    spill, seen = Spill(tmp_path / "spill"), {}
    # over the corner of four tiles, and one far from it
    spill_look(look("a", box(-3200, -3200, 3200, 3200)), spill)
    spill_look(look("b", box(-3200, -3200, 0, 0), minutes=2 * 1440), spill)
    spill_look(look("c", box(2 * TILE_SIDE, 0, 2 * TILE_SIDE + 640, 640)), spill)
    write_coverage(spill, tmp_path / "coverage.tif", lambda cell, raster: seen.update({cell: int(raster[0].sum())}))
    assert seen == {(-1, -1): 200, (-1, 0): 100, (0, -1): 100, (0, 0): 100, (2, 0): 4}
    with rasterio.open(tmp_path / "coverage.tif") as raster:
        assert raster.descriptions == ("looks", "first_look", "last_look")
        assert raster.crs.to_epsg() == 3413
        assert raster.res == (RESOLUTION, RESOLUTION)
        assert raster.shape == (2 * TILE_PX, 4 * TILE_PX)
        values = [
            value.tolist() for value in raster.sample([(-100, -100), (100, 100), (5000, 0), (2 * TILE_SIDE + 1, 1)])
        ]
        assert raster.read(1).sum() == sum(seen.values())
    assert values == [[2, DAY, DAY + 2], [1, DAY, DAY], [0, 0, 0], [1, DAY, DAY]]


def test_no_look_is_no_raster(tmp_path: Path) -> None:
    spill = Spill(tmp_path / "spill")
    spill_look(look("a", box(0, 0, 0, 0).buffer(-1)), spill)
    write_coverage(spill, tmp_path / "coverage.tif", lambda cell, raster: None)
    assert not (tmp_path / "coverage.tif").exists()


def test_looks_are_anchored_at_their_first_scene() -> None:
    """A chain of scenes five minutes apart is not one long look."""
    times = np.arange(6) * 300
    place = np.zeros(6, int)
    assert looks_at(place, place, times).tolist() == [0, 0, 1, 1, 2, 2]
    assert looks_at(place, np.array([0, 1] * 3), times).tolist() == [0, 3, 1, 4, 2, 5]
    assert pd.Series(looks_at(np.array([1, 0] * 3), place, np.zeros(6, int))).nunique() == 2
