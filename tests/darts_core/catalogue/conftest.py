"""A catalogue of Sentinel-2 and Landsat scenes with their files, on a server of this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin
from shapely.geometry import mapping
from support.stac_server import StacServer, serving

import darts_core.remote
from darts_core.catalogue.mgrs import tile_grid
from darts_core.scenes.stac import footprint

SENTINEL2 = "sentinel-2-l2a"
LANDSAT = "landsat-c2-l2"
_SIZE = 1100


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of milliseconds, and little patience."""
    monkeypatch.setattr("darts_core.web.PAUSE", 0.01)
    monkeypatch.setattr("darts_core.catalogue.api.PAUSE", 0.01)
    monkeypatch.setattr("darts_core.catalogue.fetching.PAUSE", 0.01)
    darts_core.remote.session.cache_clear()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StacServer]:
    """A server without Items, of the folder ``www``."""
    (tmp_path / "www").mkdir()
    with serving(tmp_path / "www") as started:
        yield started


def cog(path: Path, values: np.ndarray, size: float, crs: str = "EPSG:32608") -> np.ndarray:
    """Write a tiled raster; returns its values."""
    profile = {"crs": crs, "transform": from_origin(499980, 7500000, size, size), "dtype": values.dtype}
    with rasterio.open(
        path,
        "w",
        "GTiff",
        count=1,
        height=values.shape[0],
        width=values.shape[1],
        tiled=True,
        blockxsize=256,
        blockysize=256,
        compress="deflate",
        **profile,
    ) as target:
        target.write(values, 1)
    return values


@pytest.fixture
def add_sentinel2(server: StacServer) -> Callable[..., dict[str, Any]]:
    """Add an Item as Earth Search has it; with `files` also its rasters."""

    def add(
        tile: str = "T08WMA",
        day: str = "2021-08-21",
        *,
        cloud: float | None = 10,
        files: bool = False,
        offset: float | None = -0.1,
        **properties: Any,
    ) -> dict[str, Any]:
        name = f"S2A_{tile[1:]}_{day.replace('-', '')}_0_L2A"
        assets: dict[str, Any] = {
            "visual": _asset(server, name, "visual", ["red", "green", "blue"], roles=["visual"]),
            "aot": {**_asset(server, name, "aot", []), "raster:bands": [{"scale": 0.001}]},
            "thumbnail": {"href": f"{server.url}/files/{name}/t.jpg", "type": "image/jpeg", "roles": ["thumbnail"]},
        }
        stated = {"nodata": 0, "scale": 0.0001, **({} if offset is None else {"offset": offset})}
        for key in ("blue", "green", "red", "nir", "swir16"):
            assets[key] = _asset(server, name, key, [key])
            if offset is not None:
                assets[key]["raster:bands"] = [stated]
        assets["scl"] = {**_asset(server, name, "scl", []), "raster:bands": [{"nodata": 0}]}
        geometry, bbox = footprint(tile_grid(tile))
        item = {
            "type": "Feature",
            "stac_version": "1.0.0",
            "id": name,
            "collection": SENTINEL2,
            "geometry": mapping(geometry),
            "bbox": bbox,
            "links": [],
            "assets": assets,
            "properties": {
                "datetime": f"{day}T21:00:19Z",
                "platform": "sentinel-2a",
                "grid:code": f"MGRS-{tile[1:].lstrip('0')}",
                "s2:processing_baseline": "05.00",
                "updated": "2024-01-01T00:00:00Z",
                **({} if cloud is None else {"eo:cloud_cover": cloud}),
                **properties,
            },
        }
        server.items.append(item)
        if files:
            _write(server.folder / name, item)
        return item

    return add


def _asset(server: StacServer, name: str, key: str, bands: list[str], **more: Any) -> dict[str, Any]:
    described = {"eo:bands": [{"name": band, "common_name": band} for band in bands]} if bands else {}
    href = f"{server.url}/files/{name}/{key}.tif"
    kind = "image/tiff; application=geotiff; profile=cloud-optimized"
    return {"href": href, "type": kind, "roles": ["data"], **described, **more}


def _write(folder: Path, item: dict[str, Any]) -> None:
    folder.mkdir()
    rng = np.random.default_rng(len(folder.name))
    for key, size in (("blue", 10), ("green", 10), ("red", 10), ("nir", 10), ("swir16", 20), ("scl", 20)):
        edge = _SIZE * 10 // size
        values = rng.integers(0, 12 if key == "scl" else 9000, (edge, edge)).astype("uint8" if key == "scl" else "u2")
        cog(folder / f"{key}.tif", values, size)
        digest = hashlib.sha256((folder / f"{key}.tif").read_bytes()).hexdigest()
        item["assets"][key]["file:checksum"] = f"1220{digest}"


@pytest.fixture
def add_landsat(server: StacServer) -> Callable[..., dict[str, Any]]:
    """Add a Landsat Collection 2 Level 2 Item with its rasters."""

    def add() -> dict[str, Any]:
        name = "LC08_L2SP_063012_20210821_02_T1"
        folder = server.folder / name
        folder.mkdir()
        bands = {"blue": "blue", "green": "green", "red": "red", "nir08": "nir08"}
        assets = {key: _asset(server, name, key, [band]) for key, band in bands.items()}
        assets["qa_pixel"] = _asset(server, name, "qa_pixel", [])
        for number, key in enumerate(assets):
            cog(folder / f"{key}.tif", np.full((300, 300), 64 if key == "qa_pixel" else 8000 + number, "uint16"), 30)
        item = {
            "type": "Feature",
            "stac_version": "1.1.0",
            "id": name,
            "collection": LANDSAT,
            "geometry": mapping(shapely.box(-136, 66, -132, 69)),
            "links": [],
            "assets": assets,
            "properties": {
                "datetime": "2021-08-21T20:11:00Z",
                "platform": "landsat-8",
                "landsat:correction": "L2SP",
                "landsat:wrs_path": "063",
                "landsat:wrs_row": "012",
                "eo:cloud_cover": 5.0,
            },
        }
        server.items.append(item)
        return item

    return add
