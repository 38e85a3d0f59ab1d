"""Sentinel-2 L2A and L1C products (.SAFE): everything is taken from the product's own metadata.

Format: Sentinel-2 Products Specification Document (S2-PDGS-TAS-DI-PSD), user product metadata; the radiometric
offset, which the metadata names from processing baseline 04.00 on, is in its section on quantification.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from defusedxml import DefusedXmlException, ElementTree

from darts_core.scenes.folders import Folder
from darts_core.scenes.plan import CORE_BANDS, Layer, Plan, QualityLayer, choose
from darts_core.scenes.scene import Scene, SceneError, check_relative, parse_utc

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

DOCUMENTS = ("MTD_MSIL2A.xml", "MTD_MSIL1C.xml")


@dataclass(frozen=True, slots=True)
class _Band:
    id: int
    """``band_id`` of the metadata."""
    code: str
    common_name: str
    resolution: int
    """Metres, as delivered in L1C and as sensed."""


# order and resolutions: product specification, table of spectral bands; names: STAC EO extension
_BANDS = (
    _Band(0, "B01", "coastal", 60),
    _Band(1, "B02", "blue", 10),
    _Band(2, "B03", "green", 10),
    _Band(3, "B04", "red", 10),
    _Band(4, "B05", "rededge071", 20),
    _Band(5, "B06", "rededge075", 20),
    _Band(6, "B07", "rededge078", 20),
    _Band(7, "B08", "nir", 10),
    _Band(8, "B8A", "nir08", 20),
    _Band(9, "B09", "nir09", 60),
    _Band(10, "B10", "cirrus", 60),
    _Band(11, "B11", "swir16", 20),
    _Band(12, "B12", "swir22", 20),
)

COMMON_NAMES: Mapping[str, str] = MappingProxyType({band.code: band.common_name for band in _BANDS})
"""Band code (``B02``) to common name."""

_IMAGE = re.compile(r"_(?P<code>B\d[\dA]|SCL)(?:_(?P<resolution>\d{2})m)?$")
_TILE_DOCUMENT = "MTD_TL.xml"
_PROBABILITIES = (
    ("CLDPRB", "cloud_probability", "Cloud probability, percent"),
    ("SNWPRB", "snow_probability", "Snow probability, percent"),
)
_TILE = re.compile(r"_(T\d{2}[A-Z]{3})(?:_|$)")
_SPACECRAFT = re.compile(r"Sentinel-2([A-Z])")


@dataclass(frozen=True, slots=True)
class Product:
    """What a product's metadata says."""

    level: str
    """``L2A`` or ``L1C``."""
    product_id: str
    tile: str
    acquired: str
    sensor: str
    baseline: str
    quantification: float
    offsets: Mapping[int, float]
    """Band id to what is added to a number before it is divided by `quantification`; empty before 04.00."""
    nodata: float
    cloud_cover: float | None
    """Percent."""
    images: Mapping[tuple[str, int], str]
    """(band code or ``SCL``, resolution in metres) to file, relative to the .SAFE."""


def describe(folder: Folder, candidate: str) -> Scene:
    """The scene in the .SAFE folder `candidate` of `folder` ("" is the folder itself).

    Raises:
        SceneError: no .SAFE, or one whose metadata is not that of a Sentinel-2 L2A or L1C product.
    """
    prefix = f"{candidate}/" if candidate else ""
    documents = [prefix + name for name in DOCUMENTS if prefix + name in folder.entries]
    if not documents:
        raise SceneError(f"no {' or '.join(DOCUMENTS)} in it, so it is no Sentinel-2 L2A or L1C product")
    product = read_metadata(folder, documents[0])
    named = [documents[0], *(prefix + name for name in product.images.values()), *_beside(folder, product, prefix)]
    url, files = folder.place(candidate, named)
    acquired = parse_utc(product.acquired, folder.named(documents[0]))
    return Scene(url, "sentinel2", product.product_id, product.tile, acquired, product.sensor, files)


def plan(folder: Folder, scene: Scene, resolution: int | None, bands: Sequence[str] | None) -> Plan:
    """Which files to read: blue, green, red and nir at 10 m with SCL where nothing else is asked for.

    At 20 and 60 m, where B08 is not delivered, nir is B8A, unless that is asked for by its own name, nir08.
    """
    resolution = 10 if resolution is None else resolution
    bands = CORE_BANDS if bands is None else bands
    document = scene.files[0]
    product = read_metadata(folder, document)
    prefix = document[: -len(document.rpartition("/")[2])]
    layers = choose(scene, _layers(product, prefix, resolution, nir="nir08" not in bands), bands)
    return Plan(
        layers,
        (*_quality(product, prefix, resolution), *_probabilities(folder, product, prefix, resolution)),
        product.level,
        properties={
            **_sun(folder, product, prefix),
            "processing:level": product.level,
            "s2:processing_baseline": product.baseline,
            "grid:code": f"MGRS-{product.tile[1:]}",
            **({} if product.cloud_cover is None else {"eo:cloud_cover": product.cloud_cover}),
        },
    )


def read_metadata(folder: Folder, document: str) -> Product:
    """Parse MTD_MSIL2A.xml or MTD_MSIL1C.xml.

    Raises:
        SceneError: not XML, not such a document, or a fact missing from it.
    """
    where = folder.named(document)
    root = _parsed(folder, document)
    level = document[-7:-4]
    try:
        return _product(root, level, where)
    except ValueError as error:
        raise SceneError(f"{where} holds something else than a number: {error}") from error


def _parsed(folder: Folder, document: str) -> Element:
    try:
        return ElementTree.fromstring(folder.read(document))
    except (ElementTree.ParseError, DefusedXmlException, ValueError) as error:
        raise SceneError(f"{folder.named(document)} is not valid XML: {error}") from error


def _product(root: Element, level: str, where: str) -> Product:
    product_id = _text(root, "PRODUCT_URI", where).removesuffix(".SAFE")
    tile = _TILE.search(product_id)
    spacecraft = _SPACECRAFT.fullmatch(_text(root, "SPACECRAFT_NAME", where))
    if tile is None or spacecraft is None:
        raise SceneError(f"{where}: {product_id!r} is not the product of one Sentinel-2 tile")
    surface = level == "L2A"
    cloud_cover = next(_texts(root, "Cloud_Coverage_Assessment"), None)
    return Product(
        level=level,
        product_id=product_id,
        tile=tile[1],
        acquired=_text(root, "PRODUCT_START_TIME", where),
        sensor=f"S2{spacecraft[1]}",
        baseline=_text(root, "PROCESSING_BASELINE", where),
        quantification=float(_text(root, "BOA_QUANTIFICATION_VALUE" if surface else "QUANTIFICATION_VALUE", where)),
        offsets=_offsets(root, "BOA_ADD_OFFSET" if surface else "RADIO_ADD_OFFSET"),
        nodata=_nodata(root, where),
        cloud_cover=None if cloud_cover is None else float(cloud_cover),
        images=_images(root, where),
    )


def _texts(root: Element, tag: str) -> Iterator[str]:
    return ((element.text or "").strip() for element in root.iter(tag))


def _text(root: Element, tag: str, where: str) -> str:
    text = next(_texts(root, tag), "")
    if not text:
        raise SceneError(f"{where} has no {tag}")
    return text


def _offsets(root: Element, tag: str) -> dict[int, float]:
    return {int(element.get("band_id", "")): float(element.text or "") for element in root.iter(tag)}


def _nodata(root: Element, where: str) -> float:
    for special in root.iter("Special_Values"):
        if special.findtext("SPECIAL_VALUE_TEXT", "").strip() == "NODATA":
            return float(special.findtext("SPECIAL_VALUE_INDEX", ""))
    raise SceneError(f"{where} has no special value NODATA")


def _images(root: Element, where: str) -> dict[tuple[str, int], str]:
    sensed = {band.code: band.resolution for band in _BANDS}
    images = {}
    for name in _texts(root, "IMAGE_FILE"):
        image = _IMAGE.search(name)
        if image:
            resolution = int(image["resolution"] or sensed[image["code"]])
            images[image["code"], resolution] = f"{check_relative(name, where)}.jp2"
    if not images:
        raise SceneError(f"{where} names no band image (IMAGE_FILE)")
    return images


def _layers(product: Product, prefix: str, resolution: int, *, nir: bool) -> list[Layer]:
    delivered = {code for code, metres in product.images if metres == resolution}
    layers = []
    for band in _BANDS:
        if band.code not in delivered:
            continue
        if product.offsets and band.id not in product.offsets:
            raise SceneError(f"{product.product_id}: the metadata gives offsets for other bands, none for {band.code}")
        # B8A stands in where the grid has no B08
        stands_in = nir and band.code == "B8A" and "B08" not in delivered
        layers.append(
            Layer(
                "nir" if stands_in else band.common_name,
                prefix + product.images[band.code, resolution],
                f"{'Surface' if product.level == 'L2A' else 'Top-of-atmosphere'} reflectance, {band.code}",
                scale=1 / product.quantification,
                offset=product.offsets.get(band.id, 0.0) / product.quantification,
                nodata=product.nodata,
            )
        )
    return layers


def _granule(product: Product) -> str:
    """The folder of the tile in the product."""
    return "/".join(next(iter(product.images.values())).split("/")[:2])


def _beside(folder: Folder, product: Product, prefix: str) -> Iterator[str]:
    """What lies beside the images under a fixed name and need not be there: the tile's metadata, the probabilities."""
    granule = f"{prefix}{_granule(product)}"
    masks = (f"QI_DATA/MSK_{code}_{metres}m.jp2" for code, *_ in _PROBABILITIES for metres in (20, 60))
    return (name for file in (_TILE_DOCUMENT, *masks) if (name := f"{granule}/{file}") in folder.entries)


def _sun(folder: Folder, product: Product, prefix: str) -> dict[str, float]:
    """STAC properties of the sun's mean place over the tile, degrees; empty where the tile's metadata does not say."""
    document = f"{prefix}{_granule(product)}/{_TILE_DOCUMENT}"
    sun = _parsed(folder, document).find(".//Mean_Sun_Angle") if document in folder.entries else None
    if sun is None:
        return {}
    zenith, azimuth = (sun.findtext(f"{name}_ANGLE", "") for name in ("ZENITH", "AZIMUTH"))
    try:
        return {"view:sun_elevation": 90 - float(zenith), "view:sun_azimuth": float(azimuth)}
    except ValueError:
        raise SceneError(
            f"{folder.named(document)}: expected a Mean_Sun_Angle in degrees, received {zenith!r} and {azimuth!r}"
        ) from None


def _probabilities(folder: Folder, product: Product, prefix: str, resolution: int) -> Iterator[QualityLayer]:
    """The probabilities by which Sen2Cor classified, at 20 m, or at 60 m where these are not delivered or asked for."""
    for code, name, long_name in _PROBABILITIES:
        for metres in (20, 60):
            file = f"{prefix}{_granule(product)}/QI_DATA/MSK_{code}_{metres}m.jp2"
            if metres >= resolution and file in folder.entries:
                yield QualityLayer(name, file, long_name=long_name, on_request=True)
                break


def _quality(product: Product, prefix: str, resolution: int) -> tuple[QualityLayer, ...]:
    if product.level != "L2A":
        return ()
    finest = max(resolution, 20)
    if ("SCL", finest) not in product.images:
        raise SceneError(f"{product.product_id}: the metadata of an L2A product names no SCL at {finest} m")
    return (QualityLayer("scl", prefix + product.images["SCL", finest], long_name="Scene classification layer"),)
