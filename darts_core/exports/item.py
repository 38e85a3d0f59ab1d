"""What is said about a scene's exported files: a STAC Item, and the scene's outline as a GeoJSON feature."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from darts_core import contracts
from darts_core.exports.products import Format, SceneProducts
from darts_core.grids import Grid

_EXTENSIONS = (
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
)
_COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_MEDIA: Mapping[Format, tuple[str, str]] = MappingProxyType(
    {
        Format.PROBABILITIES: (_COG, "data"),
        Format.BINARIZED: (_COG, "data"),
        Format.EXTENT: (_COG, "data-mask"),
        Format.MODELS: (_COG, "data"),
        Format.GEOPARQUET: ("application/vnd.apache.parquet", "data"),
        Format.GEOPACKAGE: ("application/geopackage+sqlite3", "data"),
        Format.FOOTPRINT: ("application/geo+json", "metadata"),
        Format.THUMBNAIL: ("image/png", "thumbnail"),
    }
)
"""Media type and role of the file that a format makes."""

MASK_LAYERS: Mapping[Format, str] = MappingProxyType(
    {
        Format.PROBABILITIES: "probabilities_percent",
        Format.BINARIZED: "binarized_segmentation",
        Format.EXTENT: "extent",
    }
)
"""The variable of `postprocessed` that a format holds."""


def stac_item(products: SceneProducts, files: Mapping[Format, Iterable[Path]]) -> dict[str, Any]:
    """A STAC 1.1 Item of a scene's exported files, which lie beside it, as a JSON object."""
    import pystac
    from rasterio.enums import WktVersion

    grid, origin, outline = Grid.of(products.postprocessed), products.origin, outline_feature(products)
    code = grid.crs.to_authority()
    item = pystac.Item(
        origin.scene,
        outline["geometry"],
        outline["bbox"],
        datetime.fromisoformat(origin.acquired),
        {
            **_facts(products),
            "proj:code": ":".join(code) if code else None,
            **({} if code else {"proj:wkt2": grid.crs.to_wkt(version=WktVersion.WKT2_2019)}),
            "proj:shape": list(grid.shape),
            "proj:transform": list(grid.transform)[:6],
            **({"gsd": round(max(grid.metres()), 3)} if grid.crs.is_projected else {}),
        },
        stac_extensions=list(_EXTENSIONS),
    )
    for one, paths in files.items():
        media, role = _MEDIA[one]
        for path in paths:
            name = path.stem.removeprefix(f"{origin.scene}_") if one is Format.MODELS else one.value
            asset = pystac.Asset(f"./{path.name}", media_type=media, roles=[role], extra_fields=_bands(one, name))
            item.add_asset(name, asset)
    return item.to_dict(include_self_link=False, transform_hrefs=False)


def outline_feature(products: SceneProducts) -> dict[str, Any]:
    """The outline of a scene's grid in WGS 84 degrees with what was found in it, as a GeoJSON feature."""
    import shapely

    from darts_core.scenes.stac import footprint

    geometry, bounds = footprint(Grid.of(products.postprocessed))
    scene, acquired = products.origin.scene, products.origin.acquired
    return {
        "type": "Feature",
        "id": scene,
        "bbox": bounds,
        "geometry": json.loads(shapely.to_geojson(geometry)),
        "properties": {"scene": scene, "acquired": acquired, **_facts(products)},
    }


def _facts(products: SceneProducts) -> dict[str, Any]:
    origin = products.origin
    return {
        "darts:tile": origin.tile,
        "darts:sensor": origin.sensor,
        "darts:models": list(origin.models),
        "darts:data_version": origin.data_version,
        "darts:slumps": len(products.slumps),
        "darts:slump_area_m2": round(float(products.slumps["area_m2"].sum()), 2),
    }


def _bands(one: Format, name: str) -> dict[str, Any]:
    """The band of a raster as its contract describes it; nothing for what is no product's raster."""
    product = "segmentation" if one is Format.MODELS else "postprocessed"
    row = contracts.variable(product, MASK_LAYERS.get(one, name))
    if row is None:
        return {}
    band: dict[str, Any] = {"name": row.name, "description": row.long_name}
    band["data_type"] = "uint8" if row.disk == "bool" else row.disk
    if row.nodata is not None:
        band["nodata"] = row.nodata
    if row.units is not None:
        band["unit"] = row.units
    if row.packed:
        band |= {"raster:scale": row.scale, "raster:offset": row.offset}
    return {"bands": [band]}
