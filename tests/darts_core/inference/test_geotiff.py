import hashlib
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401
import xarray as xr
from affine import Affine

from darts_core import contracts
from darts_core.inference.geotiff import RasterError, blocks_of, read_cog, write_cog
from darts_core.inference.mosaic import RowBlock

TRANSFORM = Affine(3, 0, 500_000, 0, -3, 7_600_000)


def dataset_of(product, height=700, width=600, chunks=None):
    """A dataset of a product with random values and some nodata."""
    rng = np.random.default_rng(3)
    names = {"segmentation": ["probabilities-a"]}.get(product, [row.name for row in contracts.PRODUCTS[product]])
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
        assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


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


def test_the_same_stream_gives_the_same_bytes(tmp_path):
    stream = blocks_of(dataset_of("super_resolved", 1100, 1100), "super_resolved")
    digests = {hashlib.sha256(write_cog(stream, tmp_path / name).read_bytes()).hexdigest() for name in ("a", "b", "c")}
    assert len(digests) == 1


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


@pytest.mark.parametrize(
    ("rows", "message"), [([0], "the stream ended after 100"), ([0, 200], "rows 200 to 300 came after 100")]
)
def test_a_stream_with_a_gap_is_refused(rows, message, tmp_path):
    stream = blocks_of(dataset_of("super_resolved", 300, 50), "super_resolved")
    blocks = [RowBlock(row, np.ones((4, 100, 50), np.uint16)) for row in rows]
    with pytest.raises(RasterError, match=message):
        write_cog(replace(stream, blocks=lambda: iter(blocks)), tmp_path / "a.tif")


def test_a_truncated_raster_is_an_error_and_never_nodata(tmp_path):
    path = write_cog(blocks_of(dataset_of("super_resolved"), "super_resolved"), tmp_path / "a.tif")
    path.write_bytes(path.read_bytes()[:-100_000])
    opened = read_cog(path, "super_resolved")
    with pytest.raises(Exception, match="Read failed"):
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
