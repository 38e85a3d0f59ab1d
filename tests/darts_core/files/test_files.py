"""Products as plain files: there and back again, whole or absent."""

from pathlib import Path

import pytest
import xarray as xr
from support.datasets import preprocessed_dataset

from darts_core.contracts import ContractError, encode
from darts_core.files import FileError, read_product, write_product


@pytest.fixture
def scene() -> xr.Dataset:
    return preprocessed_dataset(3, (40, 30))


def codes(dataset: xr.Dataset) -> xr.Dataset:
    return encode(dataset, "preprocessed").drop_attrs().load()


def test_a_group_gives_back_what_was_written(scene: xr.Dataset, tmp_path: Path) -> None:
    path = write_product(scene.chunk({"y": 16}), tmp_path / "scene.zarr", "preprocessed")
    back = read_product(path, "preprocessed")
    xr.testing.assert_identical(codes(back), codes(scene))
    assert back.attrs == scene.attrs
    assert back["red"].chunks is not None
    assert [one.name for one in tmp_path.iterdir()] == ["scene.zarr"]


def test_a_raster_gives_back_what_was_written(scene: xr.Dataset, tmp_path: Path) -> None:
    some = scene[["blue", "red"]]
    back = read_product(write_product(some, tmp_path / "sr.tif", "super_resolved"), "super_resolved")
    xr.testing.assert_identical(codes(back), codes(some))
    assert back.attrs["scene"] == scene.attrs["scene"]


def test_an_error_leaves_the_earlier_one_and_nothing_else(scene: xr.Dataset, tmp_path: Path) -> None:
    path = write_product(scene, tmp_path / "scene.zarr", "preprocessed")

    def fails(block):
        raise OSError("the disk is gone")

    broken = scene.chunk({"y": 16})
    broken["red"] = broken["red"].copy(data=broken["red"].data.map_blocks(fails, dtype="float32", meta=broken.red.data))
    with pytest.raises(OSError, match="the disk is gone"):
        write_product(broken, path, "preprocessed")
    xr.testing.assert_identical(codes(read_product(path, "preprocessed")), codes(scene))
    assert [one.name for one in tmp_path.iterdir()] == ["scene.zarr"]


def test_killed_between_two_steps_the_earlier_one_comes_back(scene: xr.Dataset, tmp_path: Path) -> None:
    path = write_product(scene, tmp_path / "scene.zarr", "preprocessed")
    path.rename(tmp_path / ".scene.zarr.old")
    with pytest.raises(ContractError):
        write_product(scene.drop_vars("red"), path, "preprocessed")
    newer = scene.assign(red=scene["red"] * 0 + 0.25).assign_attrs(scene.attrs)
    newer["red"].attrs = scene["red"].attrs
    newer["red"].encoding = scene["red"].encoding
    write_product(newer, path, "preprocessed")
    xr.testing.assert_identical(codes(read_product(path, "preprocessed")), codes(newer))
    assert [one.name for one in tmp_path.iterdir()] == ["scene.zarr"]


def test_wrong_files_are_named(scene: xr.Dataset, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"scene\.nc: expected a name that ends in \.zarr or \.tif"):
        write_product(scene, tmp_path / "scene.nc", "preprocessed")
    with pytest.raises(FileError, match="does not exist; expected the product 'preprocessed'"):
        read_product(tmp_path / "none.zarr", "preprocessed")
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(FileError, match=r"empty\.zarr is not a Zarr group"):
        read_product(tmp_path / "empty.zarr", "preprocessed")
