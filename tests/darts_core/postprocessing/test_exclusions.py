"""Excluded ground against its own outlines, in every kind of file and CRS, and what it does to objects."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from rasterio.features import rasterize
from shapely import box

from darts_core.exclusions import ExclusionError, digests, read_excluded
from darts_core.grids import Grid
from darts_core.postprocessing import PostprocessError, PostprocessParameters, postprocess

PLAIN = PostprocessParameters(mask_erosion_px=0, min_object_px=0)


def scene(shape: tuple[int, int] = (60, 80), crs: int = 32608, left: float = 513_000, top: float = 7_702_000):  # type: ignore[no-untyped-def]
    grid = Grid(rasterio.CRS.from_epsg(crs), Affine(10, 0, left, 0, -10, top), *shape)
    return xr.Dataset({"probabilities": (("y", "x"), np.zeros(shape, "f4"))}, grid.coordinates(), {"scene": "s"})


def lake(grid: Grid) -> gpd.GeoSeries:
    """Two rectangles that end between pixels' centres, one of them reaching far beyond the scene."""
    left, top = grid.transform.c, grid.transform.f
    return gpd.GeoSeries(
        [box(left + 102, top - 398, left + 298, top - 102), box(left + 602, top - 9000, left + 9000, top - 302)],
        crs=grid.crs,
    )


def burnt(outlines: gpd.GeoSeries, grid: Grid) -> np.ndarray:
    return rasterize(outlines, grid.shape, transform=grid.transform).astype(bool)


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".shp", ".parquet"])
@pytest.mark.parametrize("crs", ["EPSG:32608", "EPSG:4326", "EPSG:3413"])
@pytest.mark.parametrize("chunks", [None, {"y": 17, "x": 80}])
def test_polygons_of_any_file_and_crs(tmp_path: Path, suffix: str, crs: str, chunks: dict | None) -> None:
    like = scene()
    grid = Grid.of(like)
    outlines = lake(grid)
    file = tmp_path / f"lakes{suffix}"
    # straight sides stay straight in another CRS only where they are short
    moved = gpd.GeoDataFrame(geometry=outlines.segmentize(50)).to_crs(crs)
    moved.to_parquet(file) if suffix == ".parquet" else moved.to_file(file)
    excluded = read_excluded([str(file)], like.chunk(chunks) if chunks else like)
    np.testing.assert_array_equal(excluded.values, burnt(outlines, grid))
    assert excluded.rio.crs == grid.crs
    assert chunks is None or excluded.chunksizes["y"][0] == 17


@pytest.mark.parametrize("crs", [32660, 32601])
def test_polygons_on_both_sides_of_the_antimeridian(tmp_path: Path, crs: int) -> None:
    # 180 degrees east lies 3 degrees from the meridian of either zone
    left = 620_000 if crs == 32660 else 365_000
    like = scene((100, 1500), crs, left, 7_502_000)
    grid = Grid.of(like)
    bounds = rasterio.transform.array_bounds(*grid.shape, grid.transform)
    west, _, east, _ = rasterio.warp.transform_bounds(grid.crs, "EPSG:4326", *bounds)
    assert west > east
    sides = gpd.GeoSeries([box(179.99, 60, 180, 80), box(-180, 60, -179.98, 80), box(0, 60, 1, 70)], crs=4326)
    file = tmp_path / "sea.gpkg"
    gpd.GeoDataFrame(geometry=sides).to_file(file)
    expected = burnt(sides.iloc[:2].segmentize(0.05).to_crs(grid.crs), grid)
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(read_excluded([str(file)], like).values, expected)


@pytest.mark.parametrize(("dtype", "nodata"), [("uint8", None), ("uint8", 255), ("uint8", 0), ("float32", np.nan)])
def test_rasters_exclude_where_they_are_neither_zero_nor_nodata(tmp_path: Path, dtype: str, nodata: float) -> None:
    like = scene()
    grid = Grid.of(like)
    values = burnt(lake(grid), grid).astype(dtype) * 3
    if nodata:
        values[:20, :20] = nodata
    file = _written(tmp_path / "water.tif", values, grid.crs, grid.transform, nodata)
    expected = burnt(lake(grid), grid)
    if nodata:
        expected[:20, :20] = False
    np.testing.assert_array_equal(read_excluded([file], like).values, expected)


def test_a_coarse_raster_of_another_crs_excludes_its_own_pixels(tmp_path: Path) -> None:
    like = scene()
    grid = Grid.of(like)
    x, y = rasterio.warp.transform(grid.crs, "EPSG:3413", [grid.transform.c], [grid.transform.f])
    transform = Affine(100, 0, x[0] - 3000, 0, -100, y[0] + 3000)
    values = (np.random.default_rng(0).random((60, 60)) > 0.5).astype("u1")
    file = _written(tmp_path / "water.tif", values, "EPSG:3413", transform, None)
    columns, rows = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    xs, ys = grid.transform * (columns.ravel(), rows.ravel())
    column, row = ~transform * np.array(rasterio.warp.transform(grid.crs, "EPSG:3413", xs, ys))
    expected = values[np.floor(row).astype(int), np.floor(column).astype(int)].reshape(grid.shape)
    # GDAL interpolates positions between exact ones, by less than an eighth of a source pixel
    assert (read_excluded([file], like).values == expected).mean() > 0.98


def test_files_add_up_and_ground_beyond_a_file_is_not_excluded(tmp_path: Path) -> None:
    like = scene()
    grid = Grid.of(like)
    one, other = (tmp_path / f"{name}.gpkg" for name in ("one", "other"))
    gpd.GeoDataFrame(geometry=lake(grid).iloc[[0]]).to_file(one)
    gpd.GeoDataFrame(geometry=lake(grid).iloc[[1]]).to_file(other)
    far = _written(tmp_path / "far.tif", np.ones((5, 5), "u1"), grid.crs, Affine(10, 0, 0, 0, -10, 0), None)
    both = read_excluded([str(one), str(other), far], like)
    np.testing.assert_array_equal(both.values, burnt(lake(grid), grid))


def _written(path: Path, values: np.ndarray, crs: object, transform: Affine, nodata: float | None) -> str:
    height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=1, dtype=values.dtype, crs=crs,
        transform=transform, nodata=nodata,
    ) as target:  # fmt: skip
        target.write(values, 1)
    return str(path)


@pytest.mark.parametrize("rows", [None, 7])
def test_objects_that_mostly_lie_on_water_are_removed_and_others_stay_whole(rows: int | None) -> None:
    ensembled = scene((12, 30))
    ensembled["probabilities"][2:6, 2:6] = 0.9  # on water by half
    ensembled["probabilities"][2:6, 12:16] = 0.9  # on water by three quarters
    ensembled["probabilities"][8, 2:6] = 0.9  # on land
    water = xr.zeros_like(ensembled["probabilities"], dtype=bool)
    water[2:6, 4:8] = water[2:6, 13:17] = True
    level = xr.full_like(water, 2, dtype="u1")
    if rows:
        ensembled, water = ensembled.chunk({"y": rows}), water.chunk({"y": rows})

    def columns(share: float | None) -> list[int]:
        chosen = PLAIN if share is None else PLAIN.model_copy(update={"excluded_share": share})
        product = postprocess(ensembled, level, chosen, water)
        assert product["extent"].all()
        return np.flatnonzero(product["binarized_segmentation"].values[2]).tolist()

    assert columns(None) == [2, 3, 4, 5]
    assert columns(0) == []
    assert columns(1) == [2, 3, 4, 5, 12, 13, 14, 15]
    found = postprocess(ensembled, level, PLAIN, water)["binarized_segmentation"].values
    assert found[8].sum() == 4


def test_ground_of_another_grid_is_refused() -> None:
    ensembled = scene()
    level = xr.full_like(ensembled["probabilities"], 2, dtype="u1")
    with pytest.raises(PostprocessError, match=r"s: .* excluded ground .* lie on different grids"):
        postprocess(ensembled, level, PLAIN, level[1:] > 0)


def test_the_identity_is_the_content_and_not_the_place(tmp_path: Path) -> None:
    grid = Grid.of(scene())
    names = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        names.append(tmp_path / folder / "lakes.shp")
        gpd.GeoDataFrame({"kind": ["x", "y"]}, geometry=lake(grid)).to_file(names[-1])
    assert digests([str(names[0])]) == digests([str(names[1])])
    gpd.GeoDataFrame({"kind": ["x"]}, geometry=lake(grid).iloc[:1]).to_file(names[1])
    assert digests([str(names[0])]) != digests([str(names[1])])


def test_what_cannot_be_read_says_so(tmp_path: Path) -> None:
    like = scene()
    with pytest.raises(ExclusionError, match="no such file"):
        digests([str(tmp_path / "none.gpkg")])
    for name, what in (("text.geojson", "vector file"), ("text.tif", "raster")):
        (tmp_path / name).write_text("nothing")
        with pytest.raises(ExclusionError, match=what):
            read_excluded([str(tmp_path / name)], like)
    with pytest.raises(ExclusionError, match="has no CRS"):
        read_excluded([_written(tmp_path / "bare.tif", np.ones((5, 5), "u1"), None, Affine.scale(2), None)], like)
    with pytest.warns(UserWarning, match="crs"):
        gpd.GeoDataFrame(geometry=gpd.GeoSeries([box(0, 0, 1, 1)])).to_file(tmp_path / "bare.shp")
    with pytest.raises(ExclusionError, match="has no CRS"):
        read_excluded([str(tmp_path / "bare.shp")], like)
