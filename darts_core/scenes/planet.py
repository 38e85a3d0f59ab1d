"""PlanetScope orders: surface reflectance of PSScene and PSOrthoTile items, nested per item or flat.

Names, band orders and scaling: Planet, "PlanetScope Product Specifications" (surface reflectance times 10,000; 0 is
blackfill) and "UDM 2". Band names come from the kind of product that the file name states.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from darts_core.scenes.folders import Folder, smallest_home
from darts_core.scenes.plan import Layer, Plan, QualityLayer, choose
from darts_core.scenes.scene import Scene, SceneError, parse_utc

FOUR_BANDS = ("blue", "green", "red", "nir")
EIGHT_BANDS = ("coastal", "blue", "green_i", "green", "yellow", "red", "rededge", "nir")
UDM2_BANDS = 8

_SCENE = r"(?P<date>\d{8})_(?P<time>\d{6})(?:_(?P<hundredths>\d{2}))?_(?P<satellite>[0-9a-zA-Z]{4})"
_TILE = r"(?P<strip>\d+)_(?P<cell>\d+)_(?P<day>\d{4}-\d{2}-\d{2})_(?P<craft>[0-9a-zA-Z]{4})"
_ITEM = rf"(?P<item>{_SCENE}|{_TILE})"
_KIND = r"(?:AnalyticMS_SR(?P<eight>_8b)?|BGRN_SR)(?P<harmonized>_harmonized)?(?:_clip)?"
_REFLECTANCE = re.compile(rf"{_ITEM}(?:_3B)?_{_KIND}\.tiff?", re.IGNORECASE)
_COMPANION = re.compile(r"_(?:udm2|DN_udm)(?:_clip)?\.tiff?$", re.IGNORECASE)
_ANY_ITEM = re.compile(rf"{_ITEM}_", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Item:
    """What the name of a reflectance file says."""

    id: str
    bands: tuple[str, ...]
    orthotile: bool
    harmonized: bool
    tile: str | None
    satellite: str
    acquired: datetime
    has_time: bool
    """False where the name carries the day only (orthotiles), at midnight."""


def is_reflectance(name: str) -> bool:
    """Whether a GeoTIFF is named as surface reflectance."""
    return _REFLECTANCE.fullmatch(name.rpartition("/")[2]) is not None


def is_companion(name: str) -> bool:
    """Whether a GeoTIFF is the mask of usable or unusable data of a scene, and so no candidate of its own."""
    return _COMPANION.search(name) is not None


def describe(folder: Folder, candidate: str) -> Scene:
    """The scene whose reflectance file is `candidate`.

    Raises:
        SceneError: a name that is not one of Planet's surface reflectance products, or no acquisition time.
    """
    item = read_name(candidate)
    files = [candidate, *_companions(folder, candidate, item)]
    metadata = _metadata(folder, files)
    acquired = item.acquired
    if "acquired" in metadata:
        acquired = parse_utc(metadata["acquired"], folder.named(files[-1]))
    satellite = str(metadata.get("satellite_id") or item.satellite)
    tile = str(item.tile or metadata.get("strip_id") or "PSScene")
    if item.orthotile:
        tile = str(metadata.get("grid_cell") or tile)
    url, relative = folder.place(smallest_home(candidate, files), files)
    return Scene(url, "planet", item.id, tile, acquired, f"PS{satellite}", relative)


def plan(folder: Folder, scene: Scene, resolution: int | None, bands: Sequence[str] | None) -> Plan:
    """All bands of the file, or those asked for, and the mask of usable or unusable data where it was delivered."""
    reflectance = scene.files[0]
    item = read_name(reflectance)
    metadata = _metadata(folder, scene.files)
    layers = choose(
        scene,
        [
            Layer(name, reflectance, f"Surface reflectance, {name}", number, 1e-4, 0.0, default_nodata=0)
            for number, name in enumerate(item.bands, start=1)
        ],
        bands,
    )
    mask = next((name for name in scene.files if is_companion(name)), None)
    return Plan(
        layers,
        () if mask is None else (_mask(mask),),
        "3A" if item.orthotile else "3B",
        {reflectance: item.bands},
        _properties(item, metadata, mask),
    )


def _mask(name: str) -> QualityLayer:
    if "_udm2" in name.rpartition("/")[2].lower():
        return QualityLayer("udm2", name, tuple(range(1, UDM2_BANDS + 1)), "Usable data mask 2")
    return QualityLayer("udm", name, long_name="Unusable data mask")


def read_name(name: str) -> Item:
    """Parse the name of a reflectance file.

    Raises:
        SceneError: not one of the products read here; the message says which are.
    """
    base = name.rpartition("/")[2]
    match = _REFLECTANCE.fullmatch(base)
    if match is None:
        known = "…_3B_AnalyticMS_SR[_8b][_harmonized][_clip].tif or …_BGRN_SR[_clip].tif"
        if _ANY_ITEM.match(base):
            raise SceneError(
                f"a PlanetScope file, but not surface reflectance ({known}); order a bundle with analytic_sr"
            )
        raise SceneError(f"not named as PlanetScope surface reflectance ({known})")
    try:
        acquired = _time(match)
    except ValueError as error:
        raise SceneError(f"the name carries no possible acquisition time: {error}") from None
    return Item(
        match["item"],
        EIGHT_BANDS if match["eight"] else FOUR_BANDS,
        match["cell"] is not None,
        match["harmonized"] is not None,
        match["cell"],
        match["satellite"] or match["craft"],
        acquired,
        match["time"] is not None,
    )


def _time(match: re.Match[str]) -> datetime:
    if match["day"]:
        return datetime.strptime(match["day"], "%Y-%m-%d").replace(tzinfo=UTC)
    time = datetime.strptime(match["date"] + match["time"], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    return time + timedelta(milliseconds=10 * int(match["hundredths"] or 0))


def _companions(folder: Folder, candidate: str, item: Item) -> Iterator[str]:
    """The mask (UDM 2, or else the UDM of before 2018) and the metadata, in this order, where they were delivered."""
    levels, ends = ("_3B", ""), [f"{clip}.{end}" for clip in ("", "_clip") for end in ("tif", "tiff")]
    udm2 = [f"{item.id}{level}_udm2{end}" for level in levels for end in ends]
    udm = [
        f"{item.id}{level}_{kind}_DN_udm{end}" for level in levels for kind in ("AnalyticMS", "BGRN") for end in ends
    ]
    metadata = [f"{item.id}{level}_metadata.json" for level in ("", "_3B")]

    def nearest(names: list[str]) -> str | None:
        return _nearest(candidate, [path for name in names for path in folder.paths_of(name)])

    yield from filter(None, (nearest(udm2) or nearest(udm), nearest(metadata)))


def _nearest(candidate: str, paths: Sequence[str]) -> str | None:
    """The path closest to `candidate`, at most two folders up: orders nest the products of an item below it."""
    home = candidate.split("/")[:-1]
    near = [(len(home) - len(shared), path) for path in paths if (shared := _shared(home, path)) is not None]
    return min(near)[1] if near else None


def _shared(home: list[str], path: str) -> list[str] | None:
    for up in range(min(len(home), 2) + 1):
        ancestor = home[: len(home) - up]
        if path.split("/")[: len(ancestor)] == ancestor:
            return ancestor
    return None


def _metadata(folder: Folder, files: Sequence[str]) -> Mapping[str, Any]:
    """The fields of the metadata file, which lie at the top level or under ``properties``; empty without one."""
    name = next((name for name in files if name.endswith("_metadata.json")), None)
    if name is None:
        return {}
    document = folder.read_json(name)
    fields = document.get("properties", document) if isinstance(document, dict) else document
    if not isinstance(fields, dict):
        raise SceneError(f"{folder.named(name)}: expected an object of metadata fields")
    return fields


def _properties(item: Item, metadata: Mapping[str, Any], mask: str | None) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "processing:level": "3A" if item.orthotile else "3B",
        "planet:harmonized": item.harmonized,
        "planet:udm2": mask is not None and _mask(mask).name == "udm2",
    }
    if "acquired" not in metadata:
        properties["planet:acquired_from"] = "file name" if item.has_time else "file name, day only"
    for name in ("item_type", "strip_id", "quality_category", "instrument"):
        if name in metadata:
            properties[f"planet:{name}"] = metadata[name]
    for name in ("sun_azimuth", "sun_elevation"):
        if isinstance(metadata.get(name), int | float):
            properties[f"view:{name}"] = metadata[name]
    if isinstance(metadata.get("cloud_cover"), int | float):
        # Planet gives a fraction, STAC a percentage
        properties["eo:cloud_cover"] = 100 * metadata["cloud_cover"]
    return properties
