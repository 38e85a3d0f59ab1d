"""Any GeoTIFF that a STAC Item beside it describes: bands, scale, offset, nodata and time.

Both ways of writing bands are read: ``eo:bands`` and ``raster:bands`` of STAC 1.0 and ``bands`` of STAC 1.1.
"""

from __future__ import annotations

import posixpath
import re
from collections import ChainMap, Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from darts_core.scenes.folders import Folder, smallest_home
from darts_core.scenes.plan import Layer, Plan, QualityLayer, choose
from darts_core.scenes.scene import Scene, SceneError, check_relative, is_tiff, parse_utc

_MGRS = re.compile(r"(?:MGRS-)?T?(\d{1,2})([C-X][A-Z]{2})")
_MGRS_INSIDE = re.compile(r"T(\d{2})([C-X][A-Z]{2})(?![A-Z0-9])")
_SENTINEL2 = re.compile(r"sentinel-?2([a-z])", re.IGNORECASE)
_QUALITY_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "scl": "Scene classification layer",
        "qa_pixel": "Pixel quality (QA_PIXEL)",
        "udm": "Unusable data mask",
        "observations": "Number of observations",
        "cloud_probability": "Cloud probability, percent",
    }
)
"""Quality layers of one band that an Item can name, and what they are."""
_LANDSAT = re.compile(r"landsat-?([89])", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class _Asset:
    key: str
    file: str
    """Relative to the folder."""
    bands: tuple[Mapping[str, Any], ...]
    """One mapping a band of the file, with what the asset says for all of them."""


def describe(folder: Folder, candidate: str) -> Scene:
    """The scene whose STAC Item has `candidate` as an asset.

    Raises:
        SceneError: no Item beside it, or one that does not describe it or points outside the folder.
    """
    document = _find_item(folder, candidate)
    item = folder.read_json(document)
    where = folder.named(document)
    assets = _assets(item, document, where)
    missing = [asset.file for asset in assets if asset.file not in folder.entries]
    if missing:
        raise SceneError(f"{where} names assets that are missing: {', '.join(missing)}")
    properties = item["properties"]
    time = properties.get("datetime") or properties.get("start_datetime")
    item_id = str(item.get("id") or "")
    reflectance = next((asset.file for asset in assets if _quality_asset(asset) is None), candidate)
    files = [document, *dict.fromkeys(asset.file for asset in assets)]
    url, relative = folder.place(smallest_home(reflectance, files), files)
    return Scene(
        url, "geotiff", item_id, tile_of(item_id, properties), parse_utc(time, where), sensor_of(properties), relative
    )


def has_item(folder: Folder, candidate: str) -> bool:
    """Whether a STAC Item beside `candidate` has it as an asset."""
    return next(_items(folder, candidate), None) is not None


def plan(folder: Folder, scene: Scene, resolution: int | None, bands: Sequence[str] | None) -> Plan:
    """All bands that the Item names, or those asked for, and the quality layers where there are some."""
    document = scene.files[0]
    item = folder.read_json(document)
    where = folder.named(document)
    if not is_item(item):
        raise SceneError(f"{where} is no STAC Item any more. Find the scene again")
    assets = _assets(item, document, where)
    layers, quality = _layers(assets, where)
    if "nir08" not in (bands or ()):
        layers = list(_with_nir(layers))
    level = item["properties"].get("processing:level")
    kept = {name: value for name, value in item["properties"].items() if not name.startswith(("proj:", "eo:bands"))}
    return Plan(
        choose(scene, layers, bands),
        quality,
        str(level or "unknown"),
        {asset.file: tuple(label_of(band) for band in asset.bands) for asset in assets},
        kept,
    )


def _find_item(folder: Folder, candidate: str) -> str:
    """Name of the Item beside `candidate` that has it as an asset; ``<stem>.json`` is asked first."""
    home, _, base = candidate.rpartition("/")
    prefix = f"{home}/" if home else ""
    own = f"{prefix}{base.rpartition('.')[0]}.json"
    if own in folder.entries:
        if not is_item(folder.read_json(own)):
            raise SceneError(f"{folder.named(own)} is not a STAC Item (a GeoJSON Feature with stac_version)")
        if not _names(folder, own, candidate):
            raise SceneError(f"{folder.named(own)} has no asset whose href is {base!r}")
        return own
    for name in _items(folder, candidate):
        return name
    raise SceneError(f"no STAC Item beside it: expected {own.rpartition('/')[2]!r}, or an Item with it as an asset")


def _items(folder: Folder, candidate: str) -> Iterator[str]:
    for name in folder.documents_in(candidate.rpartition("/")[0]):
        if _is_readable_item(folder, name) and _names(folder, name, candidate):
            yield name


def is_item(document: object) -> bool:
    """Whether a JSON document is a STAC Item, by its shape."""
    return (
        isinstance(document, dict)
        and document.get("type") == "Feature"
        and "stac_version" in document
        and isinstance(document.get("assets"), dict)
        and isinstance(document.get("properties"), dict)
    )


def _is_readable_item(folder: Folder, name: str) -> bool:
    # a broken document beside a GeoTIFF need not be about it
    try:
        return is_item(folder.read_json(name))
    except SceneError:
        return False


def _names(folder: Folder, document: str, candidate: str) -> bool:
    hrefs = (asset.get("href") for asset in folder.read_json(document)["assets"].values() if isinstance(asset, dict))
    home = posixpath.dirname(document)
    return any(posixpath.normpath(posixpath.join(home, str(href))) == candidate for href in hrefs)


def _assets(item: Mapping[str, Any], document: str, where: str) -> list[_Asset]:
    """The raster assets whose bands are described.

    Raises:
        SceneError: one that points outside the Item's folder; none at all.
    """
    assets = []
    for key, asset in item["assets"].items():
        bands = bands_of(asset, key, where)
        if not bands:
            continue
        href = posixpath.normpath(str(asset.get("href")))
        check_relative(href, f"{where}: asset {key!r}")
        if is_tiff(href):
            assets.append(_Asset(key, posixpath.join(posixpath.dirname(document), href), bands))
    if not assets:
        raise SceneError(f"{where} describes the bands of no GeoTIFF (bands, or eo:bands and raster:bands)")
    return assets


def bands_of(asset: object, key: str, where: str) -> tuple[Mapping[str, Any], ...]:
    """One mapping a band, with the keys of STAC 1.1 less their prefixes: name, common_name, scale, offset, nodata."""
    if not isinstance(asset, dict):
        raise SceneError(f"{where}: asset {key!r} is not an object")
    lists = [asset.get(name) or [] for name in ("bands", "eo:bands", "raster:bands")]
    lengths = {len(bands) for bands in lists if bands}
    if not all(isinstance(band, dict) for bands in lists for band in bands) or len(lengths) > 1:
        raise SceneError(f"{where}: asset {key!r} does not describe its bands one by one, alike in every list")
    if not lengths:
        return ({"name": key},) if key.lower() in _QUALITY_NAMES else ()
    shared = _plain({name: value for name, value in asset.items() if name in _SHARED})
    by_band = zip(*(bands for bands in lists if bands), strict=True)
    merged = [dict(ChainMap(*map(_plain, reversed(said)), shared)) for said in by_band]
    if len(merged) == 1 and not (merged[0].get("name") or merged[0].get("common_name")):
        merged = [{**merged[0], "name": key}]
    return tuple(merged)


_SHARED = ("nodata", "raster:scale", "raster:offset", "eo:common_name")


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix("eo:").removeprefix("raster:"): value for name, value in fields.items()}


def label_of(band: Mapping[str, Any]) -> str:
    """Common name of a band, else its own."""
    return str(band.get("common_name") or band.get("name") or "unnamed")


def _layers(assets: Sequence[_Asset], where: str) -> tuple[list[Layer], tuple[QualityLayer, ...]]:
    all_bands = [(asset, number, band) for asset in assets for number, band in enumerate(asset.bands, start=1)]
    quality = {name: (asset, number) for asset, number, band in reversed(all_bands) if (name := _quality(asset, band))}
    reflective = [row for row in all_bands if _quality(row[0], row[2]) is None]
    shared_names = Counter(label_of(band) for _, _, band in reflective)
    layers = []
    for asset, number, band in reflective:
        # where two bands share a common name (rededge), their own names tell them apart
        name = str(band.get("name") or "") if shared_names[label_of(band)] > 1 else label_of(band)
        if not _NAME.fullmatch(name):
            raise SceneError(f"{where}: asset {asset.key!r}: band {number} has no usable name ({name!r})")
        layers.append(
            Layer(
                name,
                asset.file,
                f"{name}, {band.get('description') or band.get('name') or asset.key}",
                number,
                *(_number(band.get(field), field, where) for field in ("scale", "offset", "nodata")),
            )
        )
    repeated = [name for name, count in Counter(layer.name for layer in layers).items() if count > 1]
    if repeated:
        raise SceneError(f"{where}: more than one band is named {', '.join(repeated)}")
    return layers, tuple(
        QualityLayer(name, asset.file, (number,), _QUALITY_NAMES[name]) for name, (asset, number) in quality.items()
    )


def _with_nir(layers: Sequence[Layer]) -> Iterator[Layer]:
    """Landsat and others have their near infrared under nir08 alone."""
    narrow = all(layer.name != "nir" for layer in layers)
    return (replace(layer, name="nir") if narrow and layer.name == "nir08" else layer for layer in layers)


def _quality(asset: _Asset, band: Mapping[str, Any]) -> str | None:
    """The quality layer that a band is, by its own name or that of its asset."""
    named = (str(band.get(field, "")).lower() for field in ("name", "common_name"))
    return next((name for name in named if name in _QUALITY_NAMES), None) or _quality_asset(asset)


def _quality_asset(asset: _Asset) -> str | None:
    key = asset.key.lower()
    return key if key in _QUALITY_NAMES and len(asset.bands) == 1 else None


def _number(value: object, field: str, where: str) -> float | None:
    """A number, or one of the texts that STAC has for what JSON lacks: nan, inf, -inf."""
    if value is None:
        return None
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise SceneError(f"{where}: expected a number as {field}, received {value!r}") from None


def tile_of(item_id: str, properties: Mapping[str, Any]) -> str:
    """The place that an Item is of, by its grid code, its MGRS tile, or its identifier."""
    code = str(properties.get("grid:code") or properties.get("s2:mgrs_tile") or "")
    if code:
        mgrs = _MGRS.fullmatch(code)
        return f"T{int(mgrs[1]):02}{mgrs[2]}" if mgrs else code
    path, row = (str(properties.get(f"landsat:wrs_{axis}") or "") for axis in ("path", "row"))
    if path.isdigit() and row.isdigit():
        return f"{int(path):03}{int(row):03}"  # as in the names of Landsat's products
    for name in sorted(properties):
        inside = _MGRS_INSIDE.search(str(properties[name])) if name.startswith("s2:tile") else None
        if inside:
            return f"T{inside[1]}{inside[2]}"
    if "/" in item_id or ".." in item_id:
        return item_id  # left for Scene to refuse
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", item_id).strip("-.")


def sensor_of(properties: Mapping[str, Any]) -> str:
    """Short name of an Item's platform."""
    platform = str(properties.get("platform") or properties.get("constellation") or "unknown")
    landsat, sentinel2 = _LANDSAT.fullmatch(platform), _SENTINEL2.fullmatch(platform)
    if landsat:
        return f"LC0{landsat[1]}"
    return f"S2{sentinel2[1].upper()}" if sentinel2 else re.sub(r"[\s_]+", "-", platform.strip().lower())
