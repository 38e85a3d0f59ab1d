"""What lies in the files, read by GDAL and checked by rio-cogeo, for any size, order of blocks and dtype."""

import hashlib
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rio_cogeo.cogeo import cog_validate

from darts_core.contracts import VARIABLES
from darts_core.grids import Grid
from darts_core.inference.blocks import TILE, Block
from darts_core.inference.geotiff import RasterError, RasterStream, _layout, _write, read_cog, write_cog, write_geotiff
from darts_core.inference.pyramid import levels

UTM = Affine(2.5, 0, 500_000, 0, -2.5, 7_600_000)
RASTERS = {
    "uint16": ("super_resolved", ("blue", "green", "red", "nir")),
    "uint8": ("segmentation", ("probabilities-a",)),
    "uint8, classes": ("postprocessed", ("binarized_segmentation", "extent")),
    "int16": ("preprocessed", ("relative_elevation",)),
    "float32": ("preprocessed", ("slope",)),
}


def raster(kind, height, width, *, order=None, crs="EPSG:32608", transform=UTM, tags=None):
    """Random codes (bands, y, x) with patches of nodata, and a stream of them, in blocks cut and sorted by `order`."""
    product, bands = RASTERS[kind]
    rng = np.random.default_rng(7)
    stream = RasterStream(product, bands, Grid(CRS.from_string(crs), transform, height, width), None, tags=tags or {})
    shape = len(bands), height, width
    if stream.categorical:
        codes = rng.integers(0, 2, shape).astype(stream.dtype)
    else:
        codes = rng.integers(1, 90, shape).astype(stream.dtype).cumsum(axis=2, dtype=stream.dtype)
        codes[:, rng.random((height, width)) < 0.2] = stream.nodata
        codes[:, : height // 3, : width // 3] = stream.nodata
    blocks = [
        Block(row, col, codes[:, row:bottom, col:right]) for row, bottom, col, right in spans(height, width, order)
    ]
    return replace(stream, blocks=lambda: iter(blocks)), codes


def spans(height, width, order):
    """Rows and columns of blocks: rows of tiles, or cut and shuffled as `order`, a random.Random, has it."""
    if order is None:
        return [(row, min(row + TILE, height), 0, width) for row in range(0, height, TILE)]
    cuts = [[0, *(tile for tile in range(TILE, size, TILE) if order.random() < 0.6), size] for size in (height, width)]
    found = [(*rows, *cols) for rows in pairwise(cuts[0]) for cols in pairwise(cuts[1])]
    order.shuffle(found)
    return found


def halved(codes, nodata, categorical):
    """The level above, by the slow and plain way."""
    bands, height, width = codes.shape
    even = np.full((bands, height + height % 2, width + width % 2), np.nan)
    even[:, :height, :width] = codes
    fours = even.reshape(bands, even.shape[1] // 2, 2, even.shape[2] // 2, 2).swapaxes(2, 3)
    fours = fours.reshape(*fours.shape[:3], 4)
    if categorical:  # of 0 and 1; an odd edge counts twice
        first, share = fours[..., 0], np.nanmean(fours, axis=-1)
        return np.where(share == 0.5, first, share > 0.5).astype(codes.dtype)
    if nodata is not None:
        fours[fours == nodata] = np.nan
    held = ~np.isnan(fours)
    mean = np.nansum(fours, axis=-1) / np.maximum(held.sum(axis=-1), 1)
    rounded = mean if codes.dtype.kind == "f" else np.floor(mean + 0.5)
    return np.where(held.any(axis=-1), rounded, nodata).astype(codes.dtype)


def assert_holds(path, stream, codes):
    """Every value of every level, and the order of the levels."""
    made = levels(*codes.shape[1:])
    if min(codes.shape[1:]) >= 8:  # of fewer pixels the validator cannot tell a half from a quarter
        assert cog_validate(path, strict=True) == (True, [], [])
    with rasterio.open(path) as source:
        np.testing.assert_array_equal(source.read(), codes)
        assert source.nodata == stream.nodata or np.isnan([source.nodata, stream.nodata]).all()
        assert len(source.overviews(1)) == len(made) - 1
    for number in range(len(made) - 1):
        codes = halved(codes, stream.nodata, stream.categorical)
        with rasterio.open(path, overview_level=number) as overview:
            np.testing.assert_array_equal(overview.read(), codes)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(sorted(RASTERS)),
    st.integers(1, 1500),
    st.integers(1, 1500),
    st.none() | st.randoms(use_true_random=False),
    st.sampled_from(["zstd", "deflate", "none"]),
)
def test_any_raster_in_any_order_is_what_it_was(tmp_path_factory, kind, height, width, order, compression):
    stream, codes = raster(kind, height, width, order=order)
    path = tmp_path_factory.mktemp("cog") / "a.tif"
    assert_holds(write_cog(stream, path, compression=compression), stream, codes)


@pytest.mark.parametrize("big", [False, True])
def test_both_forms_of_tiff_hold_the_same(big, tmp_path):
    stream, codes = raster("uint16", 1100, 2300)
    layout = replace(_layout(stream, "zstd", levels(1100, 2300)), big=big)
    path = _write(stream, tmp_path / "a.tif", layout, None)
    assert path.read_bytes()[:4] == (b"II+\0" if big else b"II*\0")
    assert_holds(path, stream, codes)


@pytest.mark.parametrize("kind", RASTERS)
def test_a_plain_geotiff_has_tiles_and_nothing_else(kind, tmp_path):
    stream, codes = raster(kind, 700, 1100)
    with rasterio.open(write_geotiff(stream, tmp_path / "a.tif")) as source:
        np.testing.assert_array_equal(source.read(), codes)
        assert (source.overviews(1), source.compression, source.block_shapes[0]) == ([], None, (TILE, TILE))
    size = (tmp_path / "a.tif").stat().st_size
    assert 0 <= size - 6 * len(stream.bands) * TILE**2 * stream.dtype.itemsize < 4096


def place(source, band, row, col, level=None):
    """Offset and size of a tile in the file, as GDAL finds them; `level` counts overviews."""
    items = (
        source.get_tag_item(f"BLOCK_{what}_{col}_{row}", "TIFF", bidx=band, ovr=level) for what in ("OFFSET", "SIZE")
    )
    return tuple(map(int, items))


def test_the_first_tiles_of_the_levels_lie_from_coarse_to_fine_at_the_end(tmp_path):
    stream, _ = raster("uint16", 1100, 2300)
    with rasterio.open(write_cog(stream, tmp_path / "a.tif")) as source:
        places = [place(source, 1, 0, 0, level) for level in (2, 1, 0, None)]
    ends = [offset + size for offset, size in places]
    assert ends == [*(offset for offset, _ in places[1:]), (tmp_path / "a.tif").stat().st_size]


def test_the_bands_of_a_tile_lie_side_by_side(tmp_path):
    stream, _ = raster("uint16", 1100, 1100)
    with rasterio.open(write_cog(stream, tmp_path / "a.tif")) as source:
        places = [place(source, band, 1, 2) for band in source.indexes]
    assert [offset + size for offset, size in places[:-1]] == [offset for offset, _ in places[1:]]


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32608", UTM),
        ("EPSG:3413", Affine(10, 0, -2_400_000.5, 0, -10, 300_000.25)),
        ("EPSG:32608", Affine.translation(500_000, 7_600_000) @ Affine.rotation(30) @ Affine.scale(2.5, -2.5)),
        ("EPSG:4326", Affine(0.001, 0, -134.1, 0, -0.0005, 68.7)),
    ],
    ids=["utm", "polar", "rotated", "degrees"],
)
def test_the_grid_is_kept(crs, transform, tmp_path):
    stream, _ = raster("uint8", 600, 40, crs=crs, transform=transform)
    with rasterio.open(write_cog(stream, tmp_path / "a.tif")) as source:
        assert source.crs == stream.grid.crs
        assert source.transform.almost_equals(transform, precision=1e-9)
        assert source.shape == (600, 40)


def test_tags_are_kept_whatever_they_hold(tmp_path):
    tags = {"upscaler": "bicubic & <others>", "long": "x" * 5000}
    stream, _ = raster("uint16", 600, 40, tags=tags)
    stream = replace(stream, sources={"red": "Sentinel-2 ä"})
    with rasterio.open(write_cog(stream, tmp_path / "a.tif")) as source:
        assert {**source.tags(), **tags} == source.tags()
        assert source.tags()["product"] == "super_resolved"
        assert [source.tags(band)["data_source"] for band in (1, 3)] == ["unknown", "Sentinel-2 ä"]
        assert source.tags(ns="IMAGE_STRUCTURE") == {"COMPRESSION": "ZSTD", "INTERLEAVE": "BAND", "PREDICTOR": "2"}
        assert [color.name for color in source.colorinterp] == ["gray", "undefined", "undefined", "undefined"]


@pytest.mark.parametrize("compression", ["zstd", "deflate", "none"])
def test_the_same_blocks_give_the_same_bytes(compression, tmp_path):
    stream, _ = raster("uint16", 600, 1100)
    paths = [write_cog(stream, tmp_path / name, compression=compression) for name in ("a", "b", "c")]
    assert len({hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}) == 1


def test_whoever_makes_blocks_can_use_the_array_again(tmp_path):
    stream, codes = raster("uint16", 1100, 1100)
    array = np.empty((4, TILE, 1100), np.uint16)

    def blocks():
        for block in stream.blocks():
            rows = block.data.shape[1]
            array[:, :rows] = block.data
            yield replace(block, data=array[:, :rows])
            array[:] = 7

    assert_holds(write_cog(replace(stream, blocks=blocks), tmp_path / "a.tif"), stream, codes)


def test_nothing_but_the_file_itself_is_on_the_disk_while_it_grows(tmp_path):
    stream, _ = raster("uint8", 2100, 1100)
    seen = []

    def blocks():
        for block in stream.blocks():
            yield block
            seen.append([(path.name, path.stat().st_size) for path in tmp_path.iterdir()])

    path = write_cog(replace(stream, blocks=blocks), tmp_path / "a.tif")
    assert {name for listing in seen for name, _ in listing} == {".a.tif.part"}
    assert max(size for listing in seen for _, size in listing) < path.stat().st_size


@pytest.mark.parametrize("interleave", ["band", "pixel"])
def test_bands_are_read_from_either_interleaving(interleave, tmp_path):
    stream, codes = raster("uint16", 1100, 1500)
    path = write_cog(stream, tmp_path / "a.tif")
    if interleave == "pixel":
        with rasterio.open(path) as source:
            profile = {**source.profile, "interleave": "pixel"}
        with rasterio.open(tmp_path / "b.tif", "w", **profile) as target:
            target.write(codes)
            target.descriptions = stream.bands
        path = tmp_path / "b.tif"
    read = read_cog(path, "super_resolved")
    for name, band in zip(stream.bands, codes, strict=True):
        np.testing.assert_array_equal(read[name].values, VARIABLES[name].decode(band))


def test_one_band_of_many_is_read_alone(tmp_path):
    stream, codes = raster("uint16", 1100, 1100)
    path = write_cog(stream, tmp_path / "a.tif")
    with rasterio.open(path) as source:
        others = [place(source, band, 0, 1) for band in (1, 2, 3)]
    damaged = bytearray(path.read_bytes())
    for offset, size in others:
        damaged[offset : offset + size] = bytes(size)
    path.write_bytes(damaged)
    read = read_cog(path, "super_resolved")
    np.testing.assert_array_equal(read["nir"].values, VARIABLES["nir"].decode(codes[3]))
    with pytest.raises(RasterError, match=r"a\.tif cannot be read in rows 0\.\.\d+, columns 0\.\.\d+ .*run it again"):
        read["red"].load()
