"""Scenes that a STAC catalogue names: one asset a band, read by windows where it lies.

Made for Sentinel-2 L2A as Cloud-Optimized GeoTIFFs and Landsat 8/9 Collection 2 Level 2. Sources of the constants:
Sentinel-2 Products Specification Document (reflectance times 10,000, from processing baseline 04.00 on with an offset
of -1000); Landsat 8-9 Collection 2 Level 2 Science Product Guide (surface reflectance = number * 2.75e-5 - 0.2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from darts_core.scenes.folders import Folder
from darts_core.scenes.geotiff import bands_of, label_of, sensor_of, tile_of
from darts_core.scenes.itemfolder import ITEM
from darts_core.scenes.plan import CORE_BANDS, Layer, Plan, QualityLayer, choose
from darts_core.scenes.scene import CATALOGUE_READER, Scene, SceneError, is_tiff, parse_utc

BOA_APPLIED = "earthsearch:boa_offset_applied"
"""Whether the catalogue's own copies have the offset in their numbers already; what it says of scales is older."""

_REFLECTANCE = frozenset(
    ("coastal", "blue", "green", "yellow", "red", "rededge", "rededge071", "rededge075", "rededge078", "nir")
) | {"nir08", "nir09", "cirrus", "swir16", "swir22"}
"""Common names of reflectance bands (STAC EO extension)."""
_QUALITY: Mapping[str, str] = MappingProxyType(
    {"scl": "Scene classification layer", "qa_pixel": "Pixel quality (QA_PIXEL)"}
)
_LOOKS = frozenset({"visual", "overview", "thumbnail", "preview", "tci", "rendered_preview"})
"""Roles and keys of assets that are pictures."""
_SENTINEL2_SCALE, _SENTINEL2_OFFSET, _BASELINE_OF_OFFSET = 1e-4, -0.1, 4.0
_LANDSAT_SCALE, _LANDSAT_OFFSET = 2.75e-5, -0.2


@dataclass(frozen=True, slots=True)
class _Band:
    key: str
    """Of its asset."""
    number: int
    """In the file, from 1."""
    facts: Mapping[str, Any]


def scene_of_item(item: Mapping[str, Any], url: str) -> Scene:
    """The scene that a STAC Item describes.

    Args:
        item: as `read_item` gives it.
        url: where the Item is found again: http(s), s3 or local.

    Raises:
        SceneError: no band of reflectance, no time, or a place or platform that cannot stand in a key.
    """
    properties, item_id = item["properties"], str(item.get("id") or "")
    bands = list(_reflectance(item, url))
    if not bands:
        raise SceneError(
            f"{url} describes no band of reflectance in a GeoTIFF (bands or eo:bands with common names such as "
            f"{', '.join(CORE_BANDS)}); its assets are {', '.join(item['assets']) or 'none'}"
        )
    time = properties.get("datetime") or properties.get("start_datetime")
    keys = dict.fromkeys((*(band.key for band in bands), *_quality(item).values()))
    return Scene(
        url,
        CATALOGUE_READER,
        item_id,
        tile_of(item_id, properties),
        parse_utc(time, url),
        sensor_of(properties),
        (ITEM, *keys),
    )


def plan(folder: Folder, scene: Scene, resolution: int | None, bands: Sequence[str] | None) -> Plan:
    """Blue, green, red and nir, or the bands asked for, and the quality layer; nir08 stands in for a missing nir."""
    item = folder.read_json(ITEM)
    properties = item["properties"]
    layers = list(_layers(item, scene.url))
    if all(layer.name != "nir" for layer in layers) and "nir08" not in (bands or ()):
        layers = [replace(layer, name="nir") if layer.name == "nir08" else layer for layer in layers]
    quality = tuple(QualityLayer(name, key, (1,), _QUALITY[name]) for name, key in _quality(item).items())
    kept = {name: value for name, value in properties.items() if not name.startswith(("proj:", "eo:bands"))}
    return Plan(choose(scene, layers, CORE_BANDS if bands is None else bands), quality, _level(item), {}, kept)


def _reflectance(item: Mapping[str, Any], where: str) -> Iterator[_Band]:
    for key, asset in item["assets"].items():
        roles = {str(role).lower() for role in asset.get("roles") or ()}
        if key.lower() in _LOOKS or roles & _LOOKS or not _is_geotiff(asset):
            continue
        for number, facts in enumerate(bands_of(asset, key, where), start=1):
            if label_of(facts) in _REFLECTANCE:
                yield _Band(key, number, facts)


def _quality(item: Mapping[str, Any]) -> dict[str, str]:
    """Quality layer to the asset that it is."""
    found = {key.lower(): key for key, asset in item["assets"].items() if _is_geotiff(asset)}
    return {name: found[name] for name in _QUALITY if name in found}


def _is_geotiff(asset: Mapping[str, Any]) -> bool:
    kind = str(asset.get("type") or "")
    return kind.startswith("image/tiff") if kind else is_tiff(str(asset.get("href")).split("?")[0])


def _layers(item: Mapping[str, Any], where: str) -> Iterator[Layer]:
    bands = list(_reflectance(item, where))
    shared = Counter(label_of(band.facts) for band in bands)
    names: Counter[str] = Counter()
    for band in bands:
        # three bands share the common name rededge: their own names tell them apart
        own = str(band.facts.get("name") or band.key)
        name = own if shared[label_of(band.facts)] > 1 else label_of(band.facts)
        names[name] += 1
        if names[name] > 1:
            raise SceneError(f"{where}: more than one band is named {name}")
        yield Layer(name, band.key, f"{name}, {own}", band.number, *_packing(item, band, where))


def _packing(item: Mapping[str, Any], band: _Band, where: str) -> tuple[float | None, float | None, float | None]:
    """(scale, offset, nodata) of a band; None leaves it to the file."""
    try:
        scale, offset, nodata = (
            None if band.facts.get(name) is None else float(band.facts[name]) for name in ("scale", "offset", "nodata")
        )
    except (TypeError, ValueError):
        raise SceneError(f"{where}: asset {band.key!r}: expected numbers as scale, offset and nodata") from None
    properties = item["properties"]
    platform = str(properties.get("platform") or properties.get("constellation") or "").lower()
    if platform.startswith("sentinel-2"):
        default = 0.0 if nodata is None else nodata
        return scale or _SENTINEL2_SCALE, _sentinel2_offset(properties, offset, where), default
    if platform.startswith("landsat") and str(properties.get("landsat:correction", "")).startswith("L2"):
        default = 0.0 if nodata is None else nodata
        return scale or _LANDSAT_SCALE, _LANDSAT_OFFSET if offset is None else offset, default
    return scale, offset, nodata


def _sentinel2_offset(properties: Mapping[str, Any], stated: float | None, where: str) -> float:
    """What is added to scaled numbers: by the Item's own properties, or the stated offset where these are silent."""
    applied, baseline = properties.get(BOA_APPLIED), properties.get("s2:processing_baseline")
    if applied is True:
        return 0.0
    if applied is None and stated is not None:
        return stated
    if baseline is None:
        if stated is not None:
            return stated
        raise SceneError(
            f"{where}: nothing says whether the numbers have an offset; expected s2:processing_baseline, "
            f"{BOA_APPLIED}, or an offset in raster:bands"
        )
    try:
        return _SENTINEL2_OFFSET if float(baseline) >= _BASELINE_OF_OFFSET else 0.0
    except (TypeError, ValueError):
        raise SceneError(f"{where}: expected a number as s2:processing_baseline, received {baseline!r}") from None


def _level(item: Mapping[str, Any]) -> str:
    properties = item["properties"]
    stated = properties.get("processing:level") or properties.get("landsat:correction")
    if stated:
        return str(stated)
    text = f"{properties.get('s2:product_type')} {item.get('id')} {item.get('collection')}".upper()
    return next((level for level in ("L2A", "L1C") if level in text), "unknown")
