"""Auxiliary rasters that a STAC API finds."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from shapely.geometry import mapping
from support.stac_server import StacServer, serving

from darts_core.auxiliary import AuxiliaryError, AuxiliarySources, choose_sources, read_dem
from darts_core.catalogue.mgrs import tile_grid
from darts_core.grids import Grid


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StacServer]:
    """A server without Items, of the folder ``www``."""
    (tmp_path / "www").mkdir()
    with serving(tmp_path / "www") as started:
        yield started


def _dem(server: StacServer, name: str, west: float, value: float, **properties) -> None:  # type: ignore[no-untyped-def]
    profile = {"crs": "EPSG:4326", "transform": Affine(0.01, 0, west, 0, -0.01, 69), "nodata": -9999}
    with rasterio.open(
        server.folder / f"{name}.tif", "w", "GTiff", width=150, height=300, count=1, dtype="float32", **profile
    ) as raster:
        raster.write(np.full((300, 150), value, "float32"), 1)
    server.items.append(
        {
            "type": "Feature",
            "stac_version": "1.0.0",
            "id": name,
            "collection": "dem",
            "geometry": mapping(shapely.box(west, 66, west + 1.5, 69)),
            "links": [],
            "properties": {"datetime": "2021-01-01T00:00:00Z", **properties},
            "assets": {"data": {"href": f"{server.url}/files/{name}.tif", "type": "image/tiff", "roles": ["data"]}},
        }
    )


def test_the_tiles_of_a_dem_are_found_in_a_collection(server: StacServer) -> None:
    tile = tile_grid("T08WMA")
    for number, west in enumerate((-138.0, -136.5, -135.0, -20.0)):
        _dem(server, f"tile-{number}", west, 100.0 + number)
    sources = AuxiliarySources(dem=f"stac+{server.url}/api/collections/dem")
    grid = Grid(tile.crs, type(tile.transform)(1098, 0, tile.transform.c, 0, -1098, tile.transform.f), 100, 100)
    settled = choose_sources(sources, grid, None)
    assert settled.dem is not None
    assert {url.rsplit("/", 1)[1] for url in settled.dem} == {"tile-0.tif", "tile-1.tif", "tile-2.tif"}
    assert {101.0, 102.0} <= set(np.unique(read_dem(settled.dem, grid).values))
    with pytest.raises(AuxiliaryError, match="nothing in the collection dem"):
        choose_sources(sources, Grid(tile.crs, type(tile.transform)(10, 0, 5e5, 0, -10, 1e6), 9, 9), None)
    with pytest.raises(AuxiliaryError, match="has no asset 'height'; it has data"):
        choose_sources(AuxiliarySources(dem=f"stac+{server.url}/api/collections/dem?asset=height"), grid, None)


def test_the_trends_of_an_epoch_are_found_in_a_collection(server: StacServer) -> None:
    tile = tile_grid("T08WMA")
    grid = Grid(tile.crs, type(tile.transform)(10, 0, tile.transform.c, 0, -10, tile.transform.f), 100, 100)
    for epoch in (2019, 2022):
        _dem(server, f"tcvis-{epoch}", -138.0, 1.0, end_datetime=f"{epoch}-12-31T00:00:00Z")
    sources = AuxiliarySources(trends=f"stac+{server.url}/api/collections/dem")
    for year, epoch in ((2017, 2019), (2020, 2022), (2025, 2022)):
        settled = choose_sources(sources, grid, datetime(year, 7, 1, tzinfo=UTC))
        assert settled.trends == f"{server.url}/files/tcvis-{epoch}.tif"
