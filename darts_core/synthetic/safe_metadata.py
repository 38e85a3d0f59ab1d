"""The XML of a Sentinel-2 `.SAFE` folder: the fields that readers use, each in its official place.

Source: Sentinel-2 Products Specification Document, S2-PDGS-TAS-DI-PSD, issue 14.9.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from xml.sax.saxutils import quoteattr

from darts_core.synthetic.grid import CRS, Grid

BASELINE = "05.09"
OFFSET = -1000
QUANTIFICATION = 10_000
TILE = "T08WMA"
_BAND_COUNT = 13


@dataclass(frozen=True, slots=True)
class SafeProduct:
    """Names and times of one product; everything that its file names and its XML share."""

    level: str
    """L1C or L2A."""
    acquired: datetime
    """Start of the datatake, UTC."""
    generated: datetime
    """End of the processing, UTC."""
    relative_orbit: int = 99
    absolute_orbit: int = 42_538

    @property
    def name(self) -> str:
        """Name of the folder."""
        return (
            f"S2A_MSI{self.level}_{_compact(self.acquired)}_N{BASELINE.replace('.', '')}"
            f"_R{self.relative_orbit:03}_{TILE}_{_compact(self.generated)}.SAFE"
        )

    @property
    def granule(self) -> str:
        """Name of the granule's folder."""
        return f"{self.level}_{TILE}_A{self.absolute_orbit:06}_{_compact(self.acquired)}"

    @property
    def image_stem(self) -> str:
        """Common beginning of the image names."""
        return f"{TILE}_{_compact(self.acquired)}"

    def identifier(self, kind: str) -> str:
        """Identifier of the granule (kind "TL") or of the datastrip (kind "DS")."""
        middle = f"A{self.absolute_orbit:06}_{TILE}" if kind == "TL" else f"S{_compact(self.acquired)}"
        station = f"S2A_OPER_MSI_{self.level}_{kind}_2APS_{_compact(self.generated)}"
        return f"{station}_{middle}_N{BASELINE}"


@dataclass(frozen=True, slots=True)
class Coverage:
    """Shares of the scene, percent."""

    cloud: float
    nodata: float
    water: float
    snow: float


def _compact(moment: datetime) -> str:
    return f"{moment:%Y%m%dT%H%M%S}"


def _iso(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


def product_xml(product: SafeProduct, images: list[str], footprint: str, coverage: Coverage) -> str:
    """`MTD_MSIL2A.xml` or `MTD_MSIL1C.xml`.

    Args:
        product: names and times.
        images: paths of the images below the `.SAFE` folder, without their suffix.
        footprint: latitude and longitude of the outline's corners, space separated, closed.
        coverage: shares of the scene.
    """
    level = product.level[1:]
    files = "\n".join(f"            <IMAGE_FILE>{image}</IMAGE_FILE>" for image in images)
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-{level}_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-{level}.xsd">
  <n1:General_Info>
    <Product_Info>
      <PRODUCT_START_TIME>{_iso(product.acquired)}</PRODUCT_START_TIME>
      <PRODUCT_STOP_TIME>{_iso(product.acquired)}</PRODUCT_STOP_TIME>
      <PRODUCT_URI>{product.name}</PRODUCT_URI>
      <PROCESSING_LEVEL>Level-{level}</PROCESSING_LEVEL>
      <PRODUCT_TYPE>S2MSI{level}</PRODUCT_TYPE>
      <PROCESSING_BASELINE>{BASELINE}</PROCESSING_BASELINE>
      <GENERATION_TIME>{_iso(product.generated)}</GENERATION_TIME>
      <PREVIEW_IMAGE_URL>Not applicable</PREVIEW_IMAGE_URL>
      <PREVIEW_GEO_INFO>Not applicable</PREVIEW_GEO_INFO>
      <Datatake datatakeIdentifier="GS2A_{_compact(product.acquired)}_{product.absolute_orbit:06}_N{BASELINE}">
        <SPACECRAFT_NAME>Sentinel-2A</SPACECRAFT_NAME>
        <DATATAKE_TYPE>INS-NOBS</DATATAKE_TYPE>
        <DATATAKE_SENSING_START>{_iso(product.acquired)}</DATATAKE_SENSING_START>
        <SENSING_ORBIT_NUMBER>{product.relative_orbit}</SENSING_ORBIT_NUMBER>
        <SENSING_ORBIT_DIRECTION>DESCENDING</SENSING_ORBIT_DIRECTION>
      </Datatake>
      <Query_Options completeSingleTile="true">
        <PRODUCT_FORMAT>SAFE_COMPACT</PRODUCT_FORMAT>
      </Query_Options>
      <Product_Organisation>
        <Granule_List>
          <Granule datastripIdentifier="{product.identifier("DS")}" granuleIdentifier="{product.identifier("TL")}" \
imageFormat="JPEG2000">
{files}
          </Granule>
        </Granule_List>
      </Product_Organisation>
    </Product_Info>
    <Product_Image_Characteristics>
      <Special_Values>
        <SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT>
        <SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX>
      </Special_Values>
      <Special_Values>
        <SPECIAL_VALUE_TEXT>SATURATED</SPECIAL_VALUE_TEXT>
        <SPECIAL_VALUE_INDEX>65535</SPECIAL_VALUE_INDEX>
      </Special_Values>
      <Image_Display_Order>
        <RED_CHANNEL>3</RED_CHANNEL>
        <GREEN_CHANNEL>2</GREEN_CHANNEL>
        <BLUE_CHANNEL>1</BLUE_CHANNEL>
      </Image_Display_Order>
{_quantification(product.level)}
    </Product_Image_Characteristics>
  </n1:General_Info>
  <n1:Geometric_Info>
    <Product_Footprint>
      <Product_Footprint>
        <Global_Footprint>
          <EXT_POS_LIST>{footprint}</EXT_POS_LIST>
        </Global_Footprint>
      </Product_Footprint>
    </Product_Footprint>
  </n1:Geometric_Info>
  <n1:Quality_Indicators_Info>
    <Cloud_Coverage_Assessment>{coverage.cloud:.6f}</Cloud_Coverage_Assessment>
    <Image_Content_QI>
{_content(product.level, coverage)}
    </Image_Content_QI>
  </n1:Quality_Indicators_Info>
</n1:Level-{level}_User_Product>
"""


def _quantification(level: str) -> str:
    name = "BOA_ADD_OFFSET" if level == "L2A" else "RADIO_ADD_OFFSET"
    offsets = "\n".join(f'        <{name} band_id="{band}">{OFFSET}</{name}>' for band in range(_BAND_COUNT))
    if level == "L2A":
        return f"""      <QUANTIFICATION_VALUES_LIST>
        <BOA_QUANTIFICATION_VALUE unit="none">{QUANTIFICATION}</BOA_QUANTIFICATION_VALUE>
        <AOT_QUANTIFICATION_VALUE unit="none">1000.0</AOT_QUANTIFICATION_VALUE>
        <WVP_QUANTIFICATION_VALUE unit="cm">1000.0</WVP_QUANTIFICATION_VALUE>
      </QUANTIFICATION_VALUES_LIST>
      <BOA_ADD_OFFSET_VALUES_LIST>
{offsets}
      </BOA_ADD_OFFSET_VALUES_LIST>"""
    return f"""      <QUANTIFICATION_VALUE unit="none">{QUANTIFICATION}</QUANTIFICATION_VALUE>
      <Radiometric_Offset_List>
{offsets}
      </Radiometric_Offset_List>"""


def _content(level: str, coverage: Coverage) -> str:
    rows = {"CLOUDY_PIXEL_OVER_LAND_PERCENTAGE": coverage.cloud, "NODATA_PIXEL_PERCENTAGE": coverage.nodata}
    if level == "L1C":
        rows = {"CLOUDY_PIXEL_PERCENTAGE": coverage.cloud}
    else:
        rows |= {"WATER_PERCENTAGE": coverage.water, "SNOW_ICE_PERCENTAGE": coverage.snow}
    return "\n".join(f"      <{name}>{value:.6f}</{name}>" for name, value in rows.items())


def tile_xml(product: SafeProduct, grids: dict[int, Grid], coverage: Coverage) -> str:
    """`MTD_TL.xml`: where the granule lies.

    Args:
        product: names and times.
        grids: the grid of each resolution in metres.
        coverage: shares of the scene.
    """
    level = product.level[1:]
    sizes = "\n".join(
        f"""      <Size resolution="{resolution}">
        <NROWS>{grid.height}</NROWS>
        <NCOLS>{grid.width}</NCOLS>
      </Size>"""
        for resolution, grid in grids.items()
    )
    positions = "\n".join(
        f"""      <Geoposition resolution="{resolution}">
        <ULX>{grid.west:.0f}</ULX>
        <ULY>{grid.north:.0f}</ULY>
        <XDIM>{resolution}</XDIM>
        <YDIM>-{resolution}</YDIM>
      </Geoposition>"""
        for resolution, grid in grids.items()
    )
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-{level}_Tile_ID xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/S2_PDI_Level-{level}_Tile_Metadata.xsd">
  <n1:General_Info>
    <TILE_ID metadataLevel="Brief">{product.identifier("TL")}</TILE_ID>
    <DATASTRIP_ID metadataLevel="Standard">{product.identifier("DS")}</DATASTRIP_ID>
    <SENSING_TIME metadataLevel="Standard">{_iso(product.acquired)}</SENSING_TIME>
  </n1:General_Info>
  <n1:Geometric_Info>
    <Tile_Geocoding metadataLevel="Brief">
      <HORIZONTAL_CS_NAME>WGS84 / UTM zone 8N</HORIZONTAL_CS_NAME>
      <HORIZONTAL_CS_CODE>{CRS}</HORIZONTAL_CS_CODE>
{sizes}
{positions}
    </Tile_Geocoding>
  </n1:Geometric_Info>
  <n1:Quality_Indicators_Info metadataLevel="Standard">
    <Image_Content_QI>
      <CLOUDY_PIXEL_PERCENTAGE>{coverage.cloud:.6f}</CLOUDY_PIXEL_PERCENTAGE>
    </Image_Content_QI>
  </n1:Quality_Indicators_Info>
</n1:Level-{level}_Tile_ID>
"""


def manifest_xml(product: SafeProduct, folder: Path, files: list[Path]) -> str:
    """`manifest.safe`: every other file of the product, with its size and SHA3-256 checksum.

    Args:
        product: names and times.
        folder: the `.SAFE` folder.
        files: the files, all written, in the order they are listed.
    """
    level = product.level[1:]
    objects = "\n".join(_data_object(folder, file, level) for file in files)
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<xfdu:XFDU xmlns:safe="http://www.esa.int/safe/sentinel/1.1" xmlns:xfdu="urn:ccsds:schema:xfdu:1" \
version="esa/safe/sentinel/1.1/sentinel-2/msi/archive_{product.level.lower()}_user_product">
  <informationPackageMap>
    <xfdu:contentUnit unitType="Product_Level-{level}" textInfo="SENTINEL-2 MSI Level-{level} User Product"/>
  </informationPackageMap>
  <metadataSection>
    <metadataObject ID="acquisitionPeriod" classification="DESCRIPTION" category="DMD">
      <metadataWrap mimeType="text/xml" vocabularyName="Sentinel-SAFE">
        <xmlData>
          <safe:acquisitionPeriod>
            <safe:startTime>{_iso(product.acquired)}</safe:startTime>
          </safe:acquisitionPeriod>
        </xmlData>
      </metadataWrap>
    </metadataObject>
  </metadataSection>
  <dataObjectSection>
{objects}
  </dataObjectSection>
</xfdu:XFDU>
"""


def _data_object(folder: Path, file: Path, level: str) -> str:
    content = file.read_bytes()
    kind = "text/xml" if file.suffix == ".xml" else "application/octet-stream"
    return f"""    <dataObject ID={quoteattr(_object_id(file, level))}>
      <byteStream mimeType="{kind}" size="{len(content)}">
        <fileLocation locatorType="URL" href={quoteattr("./" + file.relative_to(folder).as_posix())}/>
        <checksum checksumName="SHA3-256">{hashlib.sha3_256(content).hexdigest()}</checksum>
      </byteStream>
    </dataObject>"""


def _object_id(file: Path, level: str) -> str:
    if file.name == "MTD_TL.xml":
        return f"S2_Level-{level}_Tile1_Metadata"
    if file.suffix == ".xml":
        return f"S2_Level-{level}_Product_Metadata"
    parts = file.stem.split("_")
    return f"IMG_DATA_Band_{'_'.join(parts[2:])}_Tile1_Data"
