"""Elevation and trends that preprocessing draws on."""

import subprocess
import sys
from pathlib import Path

from resources.auxiliary import AuxiliaryData
from resources.settings import Settings


def test_sources_are_what_is_configured() -> None:
    sources = AuxiliaryData(dem="s3://bucket/dem.vrt").sources()
    assert (sources.dem, sources.trends) == ("s3://bucket/dem.vrt", None)


def test_tiles_epochs_cache_and_endpoint_are_passed_on(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path,
        dem=["a.tif", "b.tif"],
        trends={"2019": "old.tif"},
        auxiliary_cache="kept",
        s3_endpoint="http://127.0.0.1:9",
    )
    configured = AuxiliaryData.of(settings).sources()
    assert configured.dem == ("a.tif", "b.tif")
    assert configured.trends == {2019: "old.tif"}
    assert configured.cache is not None
    assert configured.cache.folder == "kept"
    assert configured.storage_options == {"endpoint_url": "http://127.0.0.1:9"}
    plain = AuxiliaryData.of(Settings(home=tmp_path, dem="a.vrt")).sources()
    assert (plain.dem, plain.trends, plain.cache) == ("a.vrt", None, None)


def test_resources_import_nothing_heavy() -> None:
    code = (
        "import sys; from resources import accelerator, auxiliary, catalogue, models, scenes, settings;"
        "from io_managers import cog, files, geoparquet, shards, zarr;"
        "heavy = {'torch', 'rasterio', 'geopandas', 'xarray', 'skimage'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
