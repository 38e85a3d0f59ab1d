"""Landsat 8 and 9, Collection 2, Level 1 and Level 2: everything is taken from the product's own metadata (the MTL).

Names, files and QA bits: USGS, "Landsat 8-9 Operational Land Imager Collection 2 Level 2 Data Format Control Book"
(LSDS-1328) and the one of Level 1 (LSDS-1822). Reflectance of Level 1: USGS, "Landsat 8 Data Users Handbook"
(LSDS-1574), section 5: (number * M + A) / sin(sun elevation).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from darts_core.scenes.folders import Folder
from darts_core.scenes.mtl import Metadata, read_mtl
from darts_core.scenes.plan import Layer, Plan, QualityLayer, choose
from darts_core.scenes.scene import Scene, SceneError, check_relative, parse_utc

BANDS: Mapping[int, str] = MappingProxyType(
    {1: "coastal", 2: "blue", 3: "green", 4: "red", 5: "nir", 6: "swir16", 7: "swir22", 9: "cirrus"}
)
"""Bands of the Operational Land Imager at 30 m to common names (STAC EO extension, where band 5 is nir08)."""
_ON_REQUEST = ("coastal", "cirrus")
"""Bands that are read only where they are asked for by their names."""

_NODATA = 0
"""Fill of every reflectance band, both levels (LSDS-1328, LSDS-1822)."""
_QUALITY = 0
"""Stands for QA_PIXEL among the numbers of bands."""
_DOCUMENT = re.compile(r"(?P<product>L[A-Z]\d{2}_L\w+)_MTL\.(?:json|xml|txt)", re.IGNORECASE)
_FORMATS = ("json", "xml", "txt")
"""From the one that is preferred to the one that is not, where a product has several."""
_PRODUCT = re.compile(r"(L[A-Z]\d{2}_L\w{3}_\d{6}_\d{8}_\d{8}_\d{2}_(?:RT|T1|T2))_", re.IGNORECASE)
_SENSOR = re.compile(r"L[CO]0[89]")


@dataclass(frozen=True, slots=True)
class _Level:
    """Where the metadata keeps the coefficients of a processing level."""

    group: str
    long_name: str
    sun: bool
    """Whether the coefficients lack the division by the sine of the sun's elevation."""


_TOP_OF_ATMOSPHERE = _Level("LEVEL1_RADIOMETRIC_RESCALING", "Top-of-atmosphere reflectance", sun=True)
_SURFACE = _Level("LEVEL2_SURFACE_REFLECTANCE_PARAMETERS", "Surface reflectance", sun=False)
_LEVELS: Mapping[str, _Level] = MappingProxyType(
    {
        **dict.fromkeys(("L1TP", "L1GT", "L1GS"), _TOP_OF_ATMOSPHERE),
        **dict.fromkeys(("L2SP", "L2SR"), _SURFACE),
    }
)


def is_document(name: str) -> bool:
    """Whether a file is named as the metadata of a Landsat product."""
    return _DOCUMENT.fullmatch(name.rpartition("/")[2]) is not None


def product_of(name: str) -> str | None:
    """Folder and product that a file of a Landsat product belongs to, by its name; None for other files."""
    home, slash, base = name.rpartition("/")
    match = _DOCUMENT.fullmatch(base) or _PRODUCT.match(base)
    return None if match is None else f"{home}{slash}{match[1]}"


def documents(names: Iterable[str]) -> dict[str, str]:
    """Product, as `product_of` names it, to its metadata; where it is there in several formats, to the first."""
    found: dict[str, str] = {}
    in_order = sorted(filter(is_document, names), key=lambda name: _FORMATS.index(name.rpartition(".")[2].lower()))
    for name in in_order:
        found.setdefault(str(product_of(name)), name)
    return dict(sorted(found.items()))


def describe(folder: Folder, candidate: str) -> Scene:
    """The scene whose metadata is `candidate`.

    Raises:
        SceneError: no metadata of a Landsat 8 or 9 product of Collection 2 with reflectance in it.
    """
    metadata = read_mtl(folder, candidate)
    product = metadata.text("PRODUCT_CONTENTS", "LANDSAT_PRODUCT_ID")
    sensor = product[:4]
    if not _SENSOR.fullmatch(sensor):
        raise SceneError(
            f"{metadata.where}: expected a product of the Operational Land Imager of Landsat 8 or 9 (LC08, LC09, LO08, "
            f"LO09), received {product!r}"
        )
    _level(metadata)
    files = _files(metadata, candidate)
    home = candidate.rpartition("/")[0]
    url, relative = folder.place(home, [candidate, *files.values()])
    path, row = (int(metadata.number("IMAGE_ATTRIBUTES", name)) for name in ("WRS_PATH", "WRS_ROW"))
    return Scene(
        url, "landsat", product, f"{path:03}{row:03}", parse_utc(_time(metadata), metadata.where), sensor, relative
    )


def plan(folder: Folder, scene: Scene, resolution: int | None, bands: Sequence[str] | None) -> Plan:
    """Which files to read: blue to swir22 with QA_PIXEL where nothing else is asked for.

    nir is band 5; STAC's name for it, nir08, is taken where that is asked for.
    """
    document = scene.files[0]
    metadata = read_mtl(folder, document)
    files = _files(metadata, document)
    layers = [
        _layer(metadata, number, file, nir="nir" if "nir08" not in (bands or ()) else "nir08")
        for number, file in files.items()
        if number in BANDS and (bands is not None or BANDS[number] not in _ON_REQUEST)
    ]
    return Plan(
        choose(scene, layers, bands),
        (QualityLayer("qa_pixel", files[_QUALITY], long_name="Pixel quality (QA_PIXEL)"),),
        metadata.text("PRODUCT_CONTENTS", "PROCESSING_LEVEL"),
        properties=_properties(metadata, scene),
    )


def _level(metadata: Metadata) -> _Level:
    if metadata.number("PRODUCT_CONTENTS", "COLLECTION_NUMBER") != 2:
        raise SceneError(f"{metadata.where}: expected a product of Collection 2; order that")
    level = metadata.text("PRODUCT_CONTENTS", "PROCESSING_LEVEL")
    if level not in _LEVELS:
        raise SceneError(f"{metadata.where}: expected the level {', '.join(_LEVELS)}, received {level!r}")
    return _LEVELS[level]


def _files(metadata: Metadata, document: str) -> dict[int, str]:
    """Number of a band (0 is QA_PIXEL) to its file, in the folder of `document`; what the metadata names counts."""
    prefix = document[: -len(document.rpartition("/")[2])]
    fields = {number: f"FILE_NAME_BAND_{number}" for number in BANDS}
    files = {
        number: prefix + check_relative(name, metadata.where)
        for number, field in {**fields, _QUALITY: "FILE_NAME_QUALITY_L1_PIXEL"}.items()
        if (name := metadata.get("PRODUCT_CONTENTS", field))
    }
    if _QUALITY not in files or len(files) == 1:
        raise SceneError(f"{metadata.where} names no {'band' if _QUALITY in files else 'FILE_NAME_QUALITY_L1_PIXEL'}")
    return files


def _time(metadata: Metadata) -> str:
    date, time = (metadata.text("IMAGE_ATTRIBUTES", name) for name in ("DATE_ACQUIRED", "SCENE_CENTER_TIME"))
    return f"{date}T{time}"


def _layer(metadata: Metadata, number: int, file: str, nir: str) -> Layer:
    level = _level(metadata)
    scale, offset = (metadata.number(level.group, f"REFLECTANCE_{name}_BAND_{number}") for name in ("MULT", "ADD"))
    if level.sun:
        height = math.sin(math.radians(_sun_elevation(metadata)))
        scale, offset = scale / height, offset / height
    name = nir if BANDS[number] == "nir" else BANDS[number]
    return Layer(name, file, f"{level.long_name}, B{number}", scale=scale, offset=offset, nodata=_NODATA)


def _sun_elevation(metadata: Metadata) -> float:
    """Degrees above the horizon.

    Raises:
        SceneError: a sun that does not shine, by which no reflectance is defined.
    """
    elevation = metadata.number("IMAGE_ATTRIBUTES", "SUN_ELEVATION")
    if not 0 < elevation <= 90:
        raise SceneError(f"{metadata.where}: expected a SUN_ELEVATION in 0..90 degrees, received {elevation:g}")
    return elevation


def _properties(metadata: Metadata, scene: Scene) -> dict[str, object]:
    """STAC properties beyond those of any scene."""
    properties: dict[str, object] = {
        "platform": f"landsat-{int(scene.sensor[2:])}",
        "processing:level": metadata.text("PRODUCT_CONTENTS", "PROCESSING_LEVEL"),
        "landsat:collection_category": metadata.text("PRODUCT_CONTENTS", "COLLECTION_CATEGORY"),
        "grid:code": f"WRS2-{scene.tile}",
    }
    for name, field in (
        ("eo:cloud_cover", "CLOUD_COVER"),
        ("view:sun_azimuth", "SUN_AZIMUTH"),
        ("view:sun_elevation", "SUN_ELEVATION"),
    ):
        if metadata.get("IMAGE_ATTRIBUTES", field):
            properties[name] = metadata.number("IMAGE_ATTRIBUTES", field)
    return properties
