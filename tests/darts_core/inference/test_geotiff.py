from dataclasses import replace

import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401
import xarray as xr
from affine import Affine

from darts_core import contracts
from darts_core.inference.blocks import Block
from darts_core.inference.geotiff import RasterError, blocks_of, read_cog, write_cog, write_geotiff

TRANSFORM = Affine(3, 0, 500_000, 0, -3, 7_600_000)


def dataset_of(product, height=700, width=600, chunks=None):
    """A dataset of a product with random values and some nodata."""
    rng = np.random.default_rng(3)
    chosen = {"segmentation": ["probabilities-a"], "super_resolved": ["blue", "green", "red", "nir"]}
    names = chosen.get(product, [row.name for row in contracts.PRODUCTS[product]])
    arrays = {}
    for name in names:
        row = contracts.variable(product, name)
        values = rng.uniform(*row.valid, (height, width))
        if row.memory == "float32":
            values[:50, :40] = np.nan
        elif row.nodata is not None:
            values[:50, :40] = row.nodata
        arrays[name] = (("y", "x"), values.round().astype(row.memory) if row.memory != "float32" else values)
    x = TRANSFORM.c + (np.arange(width) + 0.5) * 3
    y = TRANSFORM.f - (np.arange(height) + 0.5) * 3
    bare = xr.Dataset(arrays, coords={"y": y, "x": x}).rio.write_crs(32608)
    made = contracts.conform(bare, product, {name: f"source of {name}" for name in names})
    return made if chunks is None else made.chunk(chunks)


@pytest.mark.parametrize("product", ["super_resolved", "segmentation", "ensemble", "postprocessed"])
@pytest.mark.parametrize("chunks", [None, 256])
def test_what_is_written_is_read_back(product, chunks, tmp_path):
    dataset = dataset_of(product, chunks=chunks)
    back = read_cog(write_cog(blocks_of(dataset, product), tmp_path / "a.tif"), product)
    assert all(array.chunks is not None for array in back.data_vars.values())
    contracts.validate(back.load(), product)
    for name, array in dataset.data_vars.items():
        row = contracts.variable(product, name)
        assert back[name].dtype == array.dtype
        assert back[name].attrs["data_source"] == f"source of {name}"
        expected = row.decode(row.encode(array.values))
        np.testing.assert_array_equal(back[name].values, expected)
    assert back.rio.transform() == TRANSFORM
    np.testing.assert_allclose(back.x, dataset.x)
    assert list(tmp_path.iterdir()) == [tmp_path / "a.tif"]


@pytest.mark.parametrize("rows", [256, 512, 1024, 1300])
def test_tall_chunks_are_computed_once_and_the_bytes_do_not_tell(rows, tmp_path):
    dataset = dataset_of("ensemble", height=1300)
    computed = []

    def seen(values, block_info):
        computed.append(block_info[0]["chunk-location"])
        return values

    spread = dataset["spread"].chunk({"y": rows, "x": 600})
    lazy = dataset.assign(spread=spread.copy(data=spread.data.map_blocks(seen, dtype="float32")))
    write_cog(blocks_of(lazy, "ensemble"), tmp_path / "lazy.tif")
    write_cog(blocks_of(dataset, "ensemble"), tmp_path / "eager.tif")
    assert (tmp_path / "lazy.tif").read_bytes() == (tmp_path / "eager.tif").read_bytes()
    if rows != 1300:  # not whole tiles
        assert sorted(computed) == [(row, 0) for row in range(-(-1300 // rows))]


def test_the_file_says_what_it_holds(tmp_path):
    path = write_cog(blocks_of(dataset_of("super_resolved"), "super_resolved", tags={"k": "v"}), tmp_path / "a.tif")
    with rasterio.open(path) as source:
        assert source.descriptions == ("blue", "green", "red", "nir")
        assert source.scales == (1e-4,) * 4
        assert source.offsets == (-0.1,) * 4
        assert (source.nodata, source.dtypes[0], source.crs.to_epsg()) == (0, "uint16", 32608)
        assert source.overviews(1) == [2]
        assert source.block_shapes[0] == (512, 512)
        assert source.tags()["k"] == "v"


def test_overviews_average_values_and_leave_nodata_out(tmp_path):
    dataset = dataset_of("segmentation")
    dataset["probabilities-a"][:] = 0.5
    dataset["probabilities-a"][::2, ::2] = np.nan
    path = write_cog(blocks_of(dataset, "segmentation"), tmp_path / "a.tif")
    with rasterio.open(path, overview_level=0) as overview:
        assert (overview.read(1) == 50).all()


def test_overviews_of_classes_hold_classes(tmp_path):
    dataset = dataset_of("postprocessed")[["binarized_segmentation"]] * 0
    dataset["binarized_segmentation"][:, ::2] = 1
    dataset = contracts.conform(dataset.rio.write_crs(32608), "postprocessed", "t")
    path = write_cog(blocks_of(dataset, "postprocessed"), tmp_path / "a.tif")
    with rasterio.open(path, overview_level=0) as overview:
        assert set(np.unique(overview.read(1))) <= {0, 1}


def test_a_failed_stream_leaves_what_was_there(tmp_path):
    stream = blocks_of(dataset_of("super_resolved"), "super_resolved")
    path = write_cog(stream, tmp_path / "a.tif")
    before = path.read_bytes()

    def broken():
        yield next(stream.blocks())
        raise OSError("disk on fire")

    with pytest.raises(OSError, match="disk on fire"):
        write_cog(replace(stream, blocks=broken), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


BLOCKS = {
    "left out": ([(0, 0, 512, 600), (512, 0, 488, 512)], "ended after 3 of them, .* begins at row 512, column 512"),
    "nothing": ([], "ended after 0 of them"),
    "twice": ([(0, 0, 512, 600), (0, 512, 1000, 88)], "row 0, column 512 .* some of these came before"),
    "between tiles": ([(256, 0, 512, 600)], "row 256, column 0 .* expected rows within 1000, from a multiple of 512"),
    "part of a tile": ([(0, 0, 512, 300)], "expected columns within 600"),
    "beyond the edge": ([(512, 0, 512, 600)], "expected rows within 1000"),
    "before the edge": ([(-512, 0, 512, 600)], "row -512.* expected rows within 1000"),
    "empty": ([(0, 0, 0, 600)], "expected rows"),
}


@pytest.mark.parametrize("case", BLOCKS)
def test_blocks_that_do_not_cover_the_raster_once_are_refused(case, tmp_path):
    spans, message = BLOCKS[case]
    stream = blocks_of(dataset_of("super_resolved", 1000, 600), "super_resolved")
    blocks = [Block(row, col, np.ones((4, rows, cols), np.uint16)) for row, col, rows, cols in spans]
    with pytest.raises(RasterError, match=message):
        write_cog(replace(stream, blocks=lambda: iter(blocks)), tmp_path / "a.tif")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("bands", "dtype"), [(3, "uint16"), (4, "int16"), (4, "float32")])
def test_blocks_of_other_bands_or_dtype_are_refused(bands, dtype, tmp_path):
    stream = blocks_of(dataset_of("super_resolved", 100, 100), "super_resolved")
    blocks = [Block(0, 0, np.ones((bands, 100, 100), dtype))]
    with pytest.raises(RasterError, match=rf"\({bands}, 100, 100\) {dtype}; expected 4 bands of uint16"):
        write_geotiff(replace(stream, blocks=lambda: iter(blocks)), tmp_path / "a.tif")
    assert not list(tmp_path.iterdir())


def test_of_two_writers_of_one_path_the_later_one_wins_and_the_earlier_one_says_so(tmp_path):
    stream = blocks_of(dataset_of("super_resolved"), "super_resolved", tags={"writer": "later"})

    def interrupted():
        write_cog(stream, tmp_path / "a.tif")
        yield from stream.blocks()

    with pytest.raises(RasterError, match="Another process"):
        write_cog(replace(stream, blocks=interrupted), tmp_path / "a.tif")
    with rasterio.open(tmp_path / "a.tif") as source:
        assert source.tags()["writer"] == "later"
    assert list(tmp_path.iterdir()) == [tmp_path / "a.tif"]


def test_what_a_killed_writer_left_is_overwritten(tmp_path):
    (tmp_path / ".a.tif.part").write_bytes(b"half")
    write_cog(blocks_of(dataset_of("segmentation"), "segmentation"), tmp_path / "a.tif")
    assert list(tmp_path.iterdir()) == [tmp_path / "a.tif"]


def test_progress_counts_tiles(tmp_path):
    told = []
    stream = blocks_of(dataset_of("segmentation"), "segmentation")
    write_cog(stream, tmp_path / "a.tif", progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_truncated_raster_is_an_error_and_never_nodata(tmp_path):
    path = write_cog(blocks_of(dataset_of("super_resolved"), "super_resolved"), tmp_path / "a.tif")
    path.write_bytes(path.read_bytes()[:-100_000])
    opened = read_cog(path, "super_resolved")
    with pytest.raises(RasterError, match=r"a\.tif cannot be read in rows .* run it again"):
        opened.load()


def test_other_rasters_are_refused(tmp_path):
    path = write_cog(blocks_of(dataset_of("segmentation"), "segmentation"), tmp_path / "a.tif")
    with pytest.raises(RasterError, match="should be a raster of 'ensemble'"):
        read_cog(path, "ensemble")
    (tmp_path / "b.tif").write_text("no raster")
    with pytest.raises(RasterError, match="not a readable GeoTIFF"):
        read_cog(tmp_path / "b.tif", "ensemble")
    with pytest.raises(contracts.ContractError, match="has no variable water"):
        blocks_of(dataset_of("segmentation").rename({"probabilities-a": "water"}), "segmentation")
