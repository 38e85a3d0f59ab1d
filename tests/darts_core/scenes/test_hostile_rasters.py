"""Rasters whose headers claim what would fill memory or time; each is a file of a few bytes."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from darts_core.scenes.rasters import open_raster
from darts_core.scenes.scene import SceneError


def sparse(path: Path, side: int, **profile: object) -> Path:
    """A GeoTIFF in which no block was written."""
    options = {"driver": "GTiff", "width": side, "height": side, "count": 1, "dtype": "uint16", "SPARSE_OK": True}
    with rasterio.open(path, "w", crs="EPSG:32608", transform=from_origin(5e5, 7e6, 3, 3), **(options | profile)):
        pass
    assert path.stat().st_size < 2**20 or profile
    return path


@pytest.mark.parametrize(
    ("side", "profile", "words"),
    [
        (200_000, {"tiled": True, "blockxsize": 8192, "blockysize": 8192}, "40000000000 pixels of all bands"),
        (70_000, {"tiled": True, "blockxsize": 16, "blockysize": 16}, "19140625 blocks"),
        (60_000, {"tiled": True, "blockxsize": 20480, "blockysize": 20480}, "838860800 bytes in a block"),
    ],
    ids=["pixels", "blocks", "one block"],
)
def test_what_a_header_claims_beyond_measure_is_refused(
    side: int, profile: dict[str, object], words: str, tmp_path: Path
) -> None:
    with pytest.raises(SceneError, match=words):
        open_raster(sparse(tmp_path / "bomb.tif", side, **profile), "bomb.tif")


def test_a_sparse_raster_of_a_whole_tile_is_none_of_these(tmp_path: Path) -> None:
    raster = open_raster(sparse(tmp_path / "tile.tif", 43_920, tiled=True, count=1), "tile.tif")
    assert raster.grid.shape == (43_920, 43_920)


def test_a_header_that_promises_blocks_beyond_the_end_of_the_file_is_truncated(tmp_path: Path) -> None:
    path = tmp_path / "short.tif"
    options = {"driver": "GTiff", "width": 512, "height": 512, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", crs="EPSG:32608", transform=from_origin(5e5, 7e6, 3, 3), **options) as target:
        target.write(np.random.default_rng(0).integers(0, 255, (1, 512, 512), dtype="uint8"))
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(SceneError, match="truncated"):
        open_raster(path, "short.tif")
