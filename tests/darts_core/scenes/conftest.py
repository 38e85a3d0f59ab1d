"""Small real files in the formats that scenes are delivered in, and a bucket to deliver them to."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import s3fs
from rasterio.transform import from_origin

Maker = Callable[..., Path]

S2_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")


@pytest.fixture(scope="session")
def bucket(s3: str) -> tuple[dict[str, str], str]:
    """(storage options, URL) of a bucket for scenes."""
    options = {"endpoint_url": s3}
    s3fs.S3FileSystem(**options).mkdir("scenes")
    return options, "s3://scenes"


@pytest.fixture(scope="session")
def make_tiff() -> Maker:
    """Write bands (band, y, x) as a GeoTIFF."""

    def make(
        path: Path, values: np.ndarray, *, descriptions=None, origin=(500000, 7500000), size=10, **profile
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        settings = {
            "driver": "GTiff",
            "crs": "EPSG:32608",
            "transform": from_origin(*origin, size, size),
            "count": values.shape[0],
            "height": values.shape[1],
            "width": values.shape[2],
            "dtype": values.dtype,
            **profile,
        }
        with rasterio.open(path, "w", **settings) as target:
            target.write(values)
            for number, text in enumerate(descriptions or (), start=1):
                target.set_band_description(number, text)
        return path

    return make


@pytest.fixture(scope="session")
def make_safe() -> Maker:
    """Write a .SAFE with lossless JP2 bands of 10 m (and 20 m SCL for L2A); band B0n holds random numbers."""

    def make(root: Path, *, level="L2A", baseline="05.09", tile="T08WMA", offset=-1000, edges=120, seed=0) -> Path:
        rng = np.random.default_rng(seed)
        product = f"S2A_MSI{level}_20210821T210019_N{baseline.replace('.', '')}_R100_{tile}_20210822T010101"
        safe = root / f"{product}.SAFE"
        images = f"GRANULE/{level}_{tile}_A032000_20210821T210019/IMG_DATA"
        names = []
        for code, size in (("B02", 10), ("B03", 10), ("B04", 10), ("B08", 10), ("SCL", 20)):
            if code == "SCL" and level == "L1C":
                continue
            stem = f"{tile}_20210821T210019_{code}"
            name = f"{images}/R{size}m/{stem}_{size}m" if level == "L2A" else f"{images}/{stem}"
            edge = edges * 10 // size
            high, dtype = (12, "uint8") if code == "SCL" else (12000, "uint16")
            values = rng.integers(0, high, (edge, edge)).astype(dtype)
            _write_jp2(safe / f"{name}.jp2", values, size)
            names.append(name)
        (safe / f"MTD_MSI{level}.xml").write_text(_metadata(product, level, baseline, offset, names))
        return safe

    return make


def _write_jp2(path: Path, values: np.ndarray, size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path,
        "w",
        driver="JP2OpenJPEG",
        crs="EPSG:32608",
        transform=from_origin(499980, 7500000, size, size),
        count=1,
        height=values.shape[0],
        width=values.shape[1],
        dtype=values.dtype,
        quality=100,
        reversible=True,
        yccc="NO",
    ) as target:
        target.write(values, 1)
    return path


@pytest.fixture(scope="session")
def make_jp2() -> Maker:
    """Write one band (y, x) as a lossless JP2 with pixels of so many metres."""
    return _write_jp2


def _metadata(product: str, level: str, baseline: str, offset: int | None, names: list[str]) -> str:
    kind, tag = (
        ("BOA_ADD_OFFSET", "BOA_QUANTIFICATION_VALUE")
        if level == "L2A"
        else ("RADIO_ADD_OFFSET", "QUANTIFICATION_VALUE")
    )
    offsets = "" if offset is None else "".join(f'<{kind} band_id="{n}">{offset}</{kind}>' for n in range(13))
    images = "".join(f"<IMAGE_FILE>{name}</IMAGE_FILE>" for name in names)
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<n1:User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/x.xsd"><n1:General_Info><Product_Info>
<PRODUCT_START_TIME>2021-08-21T21:00:19.024Z</PRODUCT_START_TIME><PRODUCT_URI>{product}.SAFE</PRODUCT_URI>
<PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>
<Datatake><SPACECRAFT_NAME>Sentinel-2A</SPACECRAFT_NAME></Datatake>
<Product_Organisation><Granule_List><Granule>{images}</Granule></Granule_List></Product_Organisation></Product_Info>
<Product_Image_Characteristics><Special_Values><SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT>
<SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX></Special_Values><{tag} unit="none">10000</{tag}>{offsets}
</Product_Image_Characteristics></n1:General_Info></n1:User_Product>"""


@pytest.fixture(scope="session")
def make_landsat(make_tiff: Maker) -> Maker:
    """Write a folder of a Landsat 8 product: random numbers with a corner of fill, and its MTL in `formats`."""

    def make(
        root: Path,
        *,
        level="L2SP",
        formats=("json", "xml", "txt"),
        processed="20210729",
        path_row="062012",
        edges=60,
        change=lambda groups: None,
    ) -> Path:
        rng = np.random.default_rng(8)
        product = f"LC08_{level}_{path_row}_20210721_{processed}_02_T1"
        kind, numbers = ("SR_", range(1, 8)) if level.startswith("L2") else ("", range(1, 12))
        files = {f"BAND_{number}": f"{product}_{kind}B{number}.TIF" for number in numbers}
        files["QUALITY_L1_PIXEL"] = f"{product}_QA_PIXEL.TIF"
        files["QUALITY_L1_RADIOMETRIC_SATURATION"] = f"{product}_QA_RADSAT.TIF"
        for name, file in files.items():
            size, edge = (15, 2 * edges) if name == "BAND_8" else (30, edges)
            high = 65536 if name == "QUALITY_L1_PIXEL" else 44000
            values = rng.integers(0, high, (1, edge, edge)).astype("uint16")
            values[:, : edge // 6, : edge // 6] = 1 if name == "QUALITY_L1_PIXEL" else 0
            make_tiff(root / product / file, values, size=size, tiled=True, blockxsize=16, blockysize=16)
        groups = landsat_metadata(product, level, files)
        change(groups)
        for ending in formats:
            (root / product / f"{product}_MTL.{ending}").write_text(WRITE_MTL[ending](groups))
        return root / product

    return make


def landsat_metadata(product: str, level: str, files: dict[str, str]) -> dict[str, dict[str, str]]:
    """Groups of fields as in an MTL of Collection 2, those that matter and some that must not be taken for them."""
    bands = [number for number in range(1, 10) if f"BAND_{number}" in files]

    def coefficients(mult: str, add: str) -> dict[str, str]:
        return {
            **{f"REFLECTANCE_MULT_BAND_{number}": mult for number in bands},
            **{f"REFLECTANCE_ADD_BAND_{number}": add for number in bands},
        }

    level_2 = {"LEVEL2_SURFACE_REFLECTANCE_PARAMETERS": coefficients("2.75e-05", "-0.2")}
    return {
        "PRODUCT_CONTENTS": {
            "ORIGIN": "Image courtesy of the U.S. Geological Survey",
            "LANDSAT_PRODUCT_ID": product,
            "PROCESSING_LEVEL": level,
            "COLLECTION_NUMBER": "02",
            "COLLECTION_CATEGORY": "T1",
            **{f"FILE_NAME_{name}": file for name, file in files.items()},
        },
        "IMAGE_ATTRIBUTES": {
            "SPACECRAFT_ID": "LANDSAT_8",
            "WRS_PATH": str(int(product[10:13])),
            "WRS_ROW": str(int(product[13:16])),
            "DATE_ACQUIRED": "2021-07-21",
            "SCENE_CENTER_TIME": "20:12:34.1234567Z",
            "CLOUD_COVER": "12.34",
            "SUN_AZIMUTH": "166.25",
            "SUN_ELEVATION": "42.5",
        },
        **(level_2 if level.startswith("L2") else {}),
        "LEVEL1_PROCESSING_RECORD": {"PROCESSING_LEVEL": "L1TP", "FILE_NAME_BAND_2": "of_level_1_B2.TIF"},
        "LEVEL1_RADIOMETRIC_RESCALING": {"RADIANCE_MULT_BAND_2": "1.3e-02", **coefficients("2.0000E-05", "-0.100000")},
    }


def _mtl_json(groups: dict[str, dict[str, str]]) -> str:
    return json.dumps({"LANDSAT_METADATA_FILE": groups})


def _mtl_xml(groups: dict[str, dict[str, str]]) -> str:
    inside = "".join(
        f"<{group}>{''.join(f'<{name}>{text}</{name}>' for name, text in fields.items())}</{group}>"
        for group, fields in groups.items()
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<LANDSAT_METADATA_FILE>{inside}</LANDSAT_METADATA_FILE>'


def _mtl_txt(groups: dict[str, dict[str, str]]) -> str:
    lines = ["GROUP = LANDSAT_METADATA_FILE"]
    for group, fields in groups.items():
        values = (text if re.fullmatch(r"[-+.\deE]+", text) else f'"{text}"' for text in fields.values())
        inside = [f"    {name} = {value}" for name, value in zip(fields, values, strict=True)]
        lines += [f"  GROUP = {group}", *inside, f"  END_GROUP = {group}"]
    return "\n".join([*lines, "END_GROUP = LANDSAT_METADATA_FILE", "END", ""])


WRITE_MTL = {"json": _mtl_json, "xml": _mtl_xml, "txt": _mtl_txt}


@pytest.fixture(scope="session")
def make_planet(make_tiff: Maker) -> Maker:
    """Write a PlanetScope item: reflectance, mask and metadata, all optional but the first."""

    def make(
        folder: Path, suffix: str, *, item="20220716_210019_97_2427", bands=4, metadata=None, udm2=True, **tiff
    ) -> Path:
        rng = np.random.default_rng(1)
        values = rng.integers(0, 6000, (bands, 40, 50)).astype("uint16")
        path = make_tiff(folder / f"{item}{suffix}.tif", values, size=3, **tiff)
        if udm2:
            clip = "_clip" if suffix.endswith("_clip") else ""
            level = "_3B" if "_3B_" in suffix else ""
            mask = rng.integers(0, 2, (8, 40, 50)).astype("uint8")
            make_tiff(folder / f"{item}{level}_udm2{clip}.tif", mask, size=3)
        if metadata is not None:
            (folder / f"{item}_metadata.json").write_text(json.dumps(metadata))
        return path

    return make


@pytest.fixture(scope="session")
def make_item() -> Maker:
    """Write a STAC Item; assets are given as they stand in it."""

    def make(path: Path, assets: dict, **properties) -> Path:
        item = {
            "type": "Feature",
            "stac_version": "1.0.0",
            "id": path.stem,
            "geometry": None,
            "links": [],
            "assets": assets,
            "properties": {"datetime": "2021-08-21T21:00:19Z", **properties},
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(item))
        return path

    return make
