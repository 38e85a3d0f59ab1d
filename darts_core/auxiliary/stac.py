"""Auxiliary rasters that a STAC collection names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from shapely.geometry import mapping

from darts_core.auxiliary.sources import AuxiliaryError, trend_epoch
from darts_core.catalogue.api import Api
from darts_core.catalogue.found import CatalogueError
from darts_core.grids import Grid
from darts_core.scenes.itemfolder import resolve_href
from darts_core.scenes.scene import SceneError
from darts_core.scenes.stac import footprint

_MOST = 1_000
"""Rasters of one scene: more mean a wrong collection."""
_KINDS = ("image/tiff", "application/vnd+zarr", "application/vnd.zarr")


def rasters_from_stac(address: str, grid: Grid, what: str, year: int | None) -> list[str]:
    """The rasters of a collection that touch a grid, in the order of their Items' names.

    Args:
        address: ``stac+https://host/path/collections/<id>``, and ``?asset=<key>`` where an Item has several.
        grid: of the scene.
        what: how errors name the data.
        year: of the scene, where the Items are epochs of trends: only the one that serves it is taken.

    Raises:
        AuxiliaryError: no such address, a server that fails, or nothing that touches the scene.
    """
    parts = urlsplit(address.removeprefix("stac+"))
    root, _, collection = parts.path.rpartition("/collections/")
    if parts.scheme not in ("http", "https") or not collection:
        raise AuxiliaryError(f"{what}: expected stac+https://host/path/collections/<id>, received {address}")
    key = parse_qs(parts.query).get("asset", [None])[0]
    try:
        api = Api(f"{parts.scheme}://{parts.netloc}{root}")
        outline = footprint(grid)[0]
        items = list(api.items([collection], _MOST, intersects=mapping(outline)))
        if year is not None:
            items = _of_epoch(items, year)
        found = {str(item.get("id")): _href(item, api.item_url(item), key) for item in items}
    except (CatalogueError, SceneError) as error:
        raise AuxiliaryError(f"{what}: {error}") from error
    if not found:
        raise AuxiliaryError(
            f"{what}: nothing in the collection {collection} of {api.url} touches the scene "
            f"({', '.join(f'{edge:.3f}' for edge in outline.bounds)}). Configure a collection of its region"
        )
    return [found[name] for name in sorted(found)]


def _of_epoch(items: list[dict[str, Any]], year: int) -> list[dict[str, Any]]:
    """The Items of the epoch that serves a year; an epoch is the year in which the Item's time ends."""
    ends = [_last_year(item) for item in items]
    serving = trend_epoch(year, tuple(ends)) if ends else None
    return [item for item, end in zip(items, ends, strict=True) if end == serving]


def _last_year(item: Mapping[str, Any]) -> int:
    properties = item.get("properties") or {}
    time = str(properties.get("end_datetime") or properties.get("datetime") or "")
    if not time[:4].isdigit():
        raise CatalogueError(f"The Item {item.get('id')!r} has no datetime or end_datetime, so its epoch is not known")
    return int(time[:4])


def _href(item: Mapping[str, Any], url: str, key: str | None) -> str:
    assets = item.get("assets") or {}
    if key is None:
        rasters = [name for name, asset in assets.items() if str(asset.get("type", "")).startswith(_KINDS)]
        data = [name for name in rasters if "data" in (assets[name].get("roles") or ())]
        chosen = data or rasters
        if len(chosen) != 1:
            raise CatalogueError(
                f"{url}: expected one raster asset, found {', '.join(chosen) or 'none'}. Name it: …/collections/<id>"
                "?asset=<key>"
            )
        key = chosen[0]
    if key not in assets:
        raise CatalogueError(f"{url} has no asset {key!r}; it has {', '.join(assets) or 'none'}")
    return resolve_href(assets[key].get("href"), url, key)
