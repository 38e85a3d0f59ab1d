"""Polygons of a scene: geometry, statistics, schema and identity."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rioxarray  # noqa: F401
import shapely
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pyproj import Proj
from rasterio.crs import CRS
from rasterio.features import rasterize
from scipy import ndimage

from darts_core.grids import Grid, GridError
from darts_core.vectors.polygons import Origin, VectorizeError, vectorize
from darts_core.vectors.schema import SLUMP_SCHEMA, require_schema

ORIGIN = Origin("08WMA_20210821T210019_S2", "08WMA", "2021-08-21T21:00:19Z", "S2", ("aa", "bb"), "v1")


def mask(
    binarized: np.ndarray, percent: np.ndarray | None = None, pixel: tuple[float, float] = (3, 3), crs: int = 32608
) -> xr.Dataset:
    height, width = binarized.shape
    coords = {
        "y": 7_702_000 - pixel[0] * (np.arange(height) + 0.5),
        "x": 513_000 + pixel[1] * (np.arange(width) + 0.5),
    }
    layers = {
        "binarized_segmentation": binarized.astype("u1"),
        "probabilities_percent": np.full(binarized.shape, 80, "u1") if percent is None else percent,
        "extent": np.ones(binarized.shape, bool),
    }
    return xr.Dataset({name: (("y", "x"), values) for name, values in layers.items()}, coords).rio.write_crs(crs)


@pytest.mark.parametrize("chunks", [None, {"y": 23, "x": 50}])
def test_features_are_the_golden_ones_with_parts_of_one_object_together(golden: Path, chunks: dict | None) -> None:
    arrays = np.load(golden / "darts" / "vectorize.npz")
    expected = gpd.read_parquet(golden / "darts" / "vectorize.parquet").dissolve("Region_ID")
    product = mask(arrays["in_binarized"], arrays["in_probability_percent"])
    frame = vectorize(product.chunk(chunks) if chunks else product, ORIGIN)
    assert frame.crs == expected.crs
    assert len(frame) == len(expected) == 21
    # Region_ID counts objects by their first pixel, as our rows do
    np.testing.assert_array_equal(frame["pixel_count"], expected["npixel"])
    for name in ("min", "max", "mean", "median", "std"):
        np.testing.assert_allclose(frame[f"probability_{name}"] * 100, expected[name], rtol=1e-9)
    assert frame.geometry.geom_equals(expected.geometry.reset_index(drop=True)).all()
    np.testing.assert_allclose(frame["area_m2"], expected.area)
    np.testing.assert_allclose(frame["perimeter_m"], expected.length)


@settings(max_examples=40)
@given(
    binarized=hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=16)),
    pixel=st.tuples(st.sampled_from([3.0, 10.0]), st.sampled_from([3.0, 10.0])),
    rows=st.none() | st.integers(1, 5),
)
def test_polygons_are_valid_and_cover_exactly_their_pixels(
    binarized: np.ndarray, pixel: tuple[float, float], rows: int | None
) -> None:
    product = mask(binarized, pixel=pixel)
    frame = vectorize(product if rows is None else product.chunk({"y": rows}), ORIGIN)
    assert len(frame) == ndimage.label(binarized, np.ones((3, 3)))[1]
    assert frame.geometry.is_valid.all()
    np.testing.assert_allclose(frame.area, frame["area_m2"])
    np.testing.assert_allclose(frame["area_m2"], frame["pixel_count"] * pixel[0] * pixel[1])
    np.testing.assert_allclose(frame.length, frame["perimeter_m"])
    assert frame["id"].is_unique
    if len(frame):
        burnt = rasterize(frame.geometry, binarized.shape, transform=Grid.of(product).transform)
        np.testing.assert_array_equal(burnt.astype(bool), binarized)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), nodata=st.floats(0, 1), rows=st.integers(1, 9))
def test_statistics_are_those_of_the_pixels(seed: int, nodata: float, rows: int) -> None:
    generator = np.random.default_rng(seed)
    binarized = generator.random((12, 9)) > 0.5
    percent = generator.integers(0, 101, binarized.shape).astype("u1")
    percent[generator.random(binarized.shape) < nodata] = 255
    frame = vectorize(mask(binarized, percent).chunk({"y": rows}), ORIGIN)
    labels, count = ndimage.label(binarized, np.ones((3, 3)))
    values = [percent[labels == label] for label in range(1, count + 1)]
    order = np.argsort([np.flatnonzero(labels == label)[0] for label in range(1, count + 1)])
    for row, place in enumerate(order):
        held = values[place][values[place] != 255] / 100
        for name in ("min", "max", "mean", "median", "std"):
            found = frame[f"probability_{name}"].iloc[row]
            if held.size:
                np.testing.assert_allclose(found, getattr(np, name)(held), atol=1e-9)
            else:
                assert np.isnan(found)


def test_a_hole_stays_a_hole() -> None:
    ring = np.ones((5, 5), bool)
    ring[2, 2] = False
    frame = vectorize(mask(ring), ORIGIN)
    assert len(frame.geometry[0].interiors) == 1
    assert frame["area_m2"][0] == 24 * 9


def test_pixels_that_meet_at_a_corner_are_one_feature() -> None:
    frame = vectorize(mask(np.eye(4, dtype=bool)), ORIGIN)
    assert frame.geom_type.tolist() == ["MultiPolygon"]
    assert frame["pixel_count"].tolist() == [4]


def test_nothing_found_keeps_the_schema() -> None:
    empty, full = (vectorize(mask(np.full((4, 4), value)), ORIGIN) for value in (False, True))
    assert len(empty) == 0
    assert empty.dtypes.equals(full.dtypes)
    assert empty.crs == full.crs
    assert list(empty.columns) == [*(column.name for column in SLUMP_SCHEMA), "geometry"]
    require_schema(empty, SLUMP_SCHEMA, "nothing")
    assert pd.concat([empty, full]).dtypes.equals(full.dtypes)


def test_every_row_says_where_it_is_from() -> None:
    row = vectorize(mask(np.ones((2, 2), bool)), ORIGIN).iloc[0]
    assert row["scene"] == "08WMA_20210821T210019_S2"
    assert row["tile"] == "08WMA"
    assert row["acquired"] == pd.Timestamp("2021-08-21T21:00:19Z")
    assert row["models"] == "aa,bb"
    assert row["data_version"] == "v1"


def test_an_id_is_that_of_a_place_in_a_scene() -> None:
    small, large = np.zeros((2, 9, 9), bool)
    small[5, 5] = large[5, 5] = large[1, 1] = True
    first, second = vectorize(mask(small), ORIGIN), vectorize(mask(large), ORIGIN)
    assert first["id"][0] == second["id"][1]
    other = vectorize(mask(small), Origin("other", "t", "2021-08-21T21:00:19Z", "S2"))
    assert other["id"][0] != first["id"][0]
    # what is stored under an id must be found again under it after an upgrade
    assert first["id"][0] == "0da78ecdad8d6163"


@pytest.mark.parametrize("rows", [None, 3])
def test_flags_say_what_a_feature_is_worth(rows: int | None) -> None:
    binarized = np.zeros((12, 30), bool)
    binarized[0:3, 0:3] = binarized[5:8, 10:13] = binarized[5:8, 20:23] = binarized[9:11, 2:5] = True
    product = mask(binarized)
    product["extent"][:, 23:] = False
    quality = xr.full_like(product["binarized_segmentation"], 2)
    quality[6, 11] = 1
    if rows:
        product, quality = product.chunk({"y": rows}), quality.chunk({"y": rows + 1})
    frame = vectorize(product, ORIGIN, quality)
    assert frame["touches_edge"].tolist() == [True, False, True, False]
    assert frame["low_quality"].tolist() == [False, True, False, False]


def placed(crs: str, transform: Affine) -> xr.Dataset:
    """A ring of 20 x 30 pixels with a hole of 4 x 6, and a lone pixel, anywhere in the world."""
    binarized = np.zeros((40, 50), bool)
    binarized[5:25, 10:40] = binarized[30, 30] = True
    binarized[8:12, 12:18] = False
    grid = Grid(CRS.from_user_input(crs), transform, *binarized.shape)
    layers = {
        "binarized_segmentation": binarized.astype("u1"),
        "probabilities_percent": np.full(binarized.shape, 80, "u1"),
        "extent": np.ones(binarized.shape, bool),
    }
    return xr.Dataset({name: (("y", "x"), values) for name, values in layers.items()}, grid.coordinates())


@pytest.mark.parametrize(
    ("crs", "x", "y"),
    [("EPSG:3413", 1_500_000, 3_000_000), ("EPSG:3413", -400_000, -300_000), ("EPSG:6931", 1_500_000, 3_000_000)],
)
def test_areas_are_true_where_the_projection_is_not(crs: str, x: float, y: float) -> None:
    product = placed(crs, Affine(10, 0, x, 0, -10, y))
    frame = vectorize(product, ORIGIN)
    projection = Proj(crs)
    factors = projection.get_factors(*projection(x + 250, y - 200, inverse=True))
    np.testing.assert_allclose(frame["area_m2"], frame["pixel_count"] * 100 / factors.areal_scale, rtol=1e-4)
    if crs == "EPSG:3413":
        assert abs(factors.areal_scale - 1) > 0.03
        # conformal: as the area, so the length
        np.testing.assert_allclose(frame["perimeter_m"], frame.length / factors.meridional_scale, rtol=1e-4)


def test_areas_in_utm_are_those_of_the_pixels() -> None:
    frame = vectorize(placed("EPSG:32608", Affine(10, 0, 513_000, 0, -10, 7_702_000)), ORIGIN)
    np.testing.assert_allclose(frame["area_m2"], [576 * 100, 100])
    np.testing.assert_allclose(frame["perimeter_m"], [1200, 40])


def test_a_rotated_grid_has_turned_polygons() -> None:
    plain = vectorize(placed("EPSG:32608", Affine(10, 0, 513_000, 0, -10, 7_702_000)), ORIGIN)
    turned = Affine.translation(513_000, 7_702_000) @ Affine.rotation(30) @ Affine.scale(10, -10)
    frame = vectorize(placed("EPSG:32608", turned), ORIGIN)
    for name in ("area_m2", "perimeter_m", "pixel_count"):
        np.testing.assert_allclose(frame[name], plain[name])
    expected = plain.rotate(30, origin=(513_000, 7_702_000))
    np.testing.assert_allclose(frame.geometry.hausdorff_distance(expected), 0, atol=1e-6)
    assert frame.geometry.is_valid.all()


def test_a_compound_crs_measures_as_its_horizontal_part() -> None:
    transform = Affine(10, 0, 513_000, 0, -10, 7_702_000)
    frame, plain = (vectorize(placed(crs, transform), ORIGIN) for crs in ("EPSG:32608+5773", "EPSG:32608"))
    np.testing.assert_array_equal(frame["area_m2"], plain["area_m2"])
    assert shapely.equals(frame.geometry.to_numpy(), plain.geometry.to_numpy()).all()
    polar = Affine(10, 0, 1_500_000, 0, -10, 3_000_000)
    frame, plain = (vectorize(placed(crs, polar), ORIGIN) for crs in ("EPSG:3413+5773", "EPSG:3413"))
    np.testing.assert_allclose(frame["area_m2"], plain["area_m2"], rtol=1e-9)


@pytest.mark.parametrize(("crs", "x", "y"), [("EPSG:32660", 626_000, 7_502_000), ("EPSG:3413", -2e6, 2e6 + 200)])
def test_a_slump_across_the_antimeridian_is_one_feature_of_its_own_size(crs: str, x: float, y: float) -> None:
    product = placed(crs, Affine(100, 0, x, 0, -100, y))
    frame = vectorize(product, ORIGIN)
    longitudes = frame.to_crs(4326).geometry.iloc[0].exterior.xy[0]
    assert np.ptp(longitudes) > 180
    assert frame.geom_type.tolist() == ["Polygon", "Polygon"]
    np.testing.assert_allclose(frame["area_m2"], frame["pixel_count"] * 1e4, rtol=0.04)
    np.testing.assert_allclose(frame["area_m2"][0] / 576, frame["area_m2"][1], rtol=1e-3)


def test_areas_need_a_projected_crs() -> None:
    with pytest.raises(GridError, match="EPSG:4326"):
        vectorize(mask(np.ones((2, 2), bool), crs=4326), ORIGIN)


def test_quality_of_another_grid_is_refused() -> None:
    product = mask(np.ones((4, 4), bool))
    with pytest.raises(VectorizeError, match=r"expected a quality level of \(4, 4\) pixels"):
        vectorize(product, ORIGIN, product["binarized_segmentation"][::2, ::2])


def test_the_origin_of_a_scene_is_asked_for_by_name() -> None:
    attrs = {"scene": "s", "tile": "t", "acquired": "2021-08-21T21:00:19Z", "sensor": "S2", "more": 1}
    assert Origin.of(attrs, ["a"], "v") == Origin("s", "t", "2021-08-21T21:00:19Z", "S2", ("a",), "v")
    with pytest.raises(VectorizeError, match=r"s: .* missing acquired, sensor"):
        Origin.of({"scene": "s", "tile": "t"})


def test_the_expert_slumps_of_the_peel_plateau_come_back(shared_data: Path) -> None:
    expert = gpd.read_file(shared_data / "peel_plateau" / "experts" / "expert_01.shp").to_crs(32608)
    left, _, _, top = expert.total_bounds
    transform = Affine(10, 0, 513_000, 0, -10, 7_702_000)
    moved = expert.translate(513_000 - left, 7_702_000 - top)
    burnt = rasterize(moved, (400, 400), transform=transform).astype(bool)
    frame = vectorize(mask(burnt, pixel=(10, 10)), ORIGIN)
    union = shapely.unary_union(moved.make_valid())
    found = shapely.unary_union(frame.geometry)
    assert shapely.area(found & union) / shapely.area(found | union) > 0.85
