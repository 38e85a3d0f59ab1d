"""Elevation and trends that preprocessing draws on."""

import subprocess
import sys

from resources.auxiliary import AuxiliaryData


def test_sources_are_what_is_configured() -> None:
    sources = AuxiliaryData(dem="s3://bucket/dem.vrt").sources()
    assert (sources.dem, sources.trends) == ("s3://bucket/dem.vrt", None)


def test_resources_import_nothing_heavy() -> None:
    code = (
        "import sys; from resources import accelerator, auxiliary, models, scenes, settings;"
        "from io_managers import cog, files, geoparquet, shards, zarr;"
        "heavy = {'torch', 'rasterio', 'geopandas', 'xarray', 'skimage'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
