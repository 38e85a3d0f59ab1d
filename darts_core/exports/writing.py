"""The verb `export`: files of one scene, each written whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import xarray as xr

from darts_core import contracts
from darts_core.exports.item import MASK_LAYERS, outline_feature, stac_item
from darts_core.exports.products import STANDARD, ExportError, Format, SceneProducts

THUMBNAIL_SIDE = 1024
"""Most pixels a side of a thumbnail."""


def export(
    products: SceneProducts, folder: str | os.PathLike[str], formats: Iterable[str] = STANDARD
) -> dict[Format, tuple[Path, ...]]:
    """Write products of a scene as files named ``<scene>_<what>``, each of which appears when it is whole.

    The same products give the same bytes, whichever formats are written with them and in whatever order they are
    named; only the STAC Item, which is written last, speaks of the other files. A file of that name is replaced.

    Args:
        products: lazy ones are computed in rows of tiles.
        folder: made where it is missing.
        formats: names of `Format`, each once or more.

    Returns:
        The files of each format, in the order of `Format`.

    Raises:
        ExportError: an unknown format, or one whose product is not at hand; nothing is written then.
    """
    wanted = _wanted(products, formats)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written: dict[Format, tuple[Path, ...]] = {}
    # a file is made on the same file system as its place, which it then takes in one step
    with tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as staging:
        stem = Path(staging) / products.origin.scene
        for one in wanted:
            made = _item(products, stem, written) if one is Format.STAC else _WRITERS[one](products, stem)
            written[one] = tuple(path.replace(folder / path.name) for path in made)
    return written


def _wanted(products: SceneProducts, formats: Iterable[str]) -> list[Format]:
    named = set(formats)
    unknown = sorted(named - set(Format))
    if unknown:
        raise ExportError(
            f"{products.origin.scene}: expected exports among {', '.join(Format)}, received {', '.join(unknown)}"
        )
    wanted = [one for one in Format if one in named]
    for one in wanted:
        products.rasters_of(one)
    return wanted


def _item(products: SceneProducts, stem: Path, written: Mapping[Format, tuple[Path, ...]]) -> list[Path]:
    return [_json(stac_item(products, written), _named(stem, "item.json"))]


def _mask_layer(one: Format) -> Callable[[SceneProducts, Path], list[Path]]:
    def write(products: SceneProducts, stem: Path) -> list[Path]:
        layer = products.rasters_of(one)[[MASK_LAYERS[one]]]
        return [_raster(layer, "postprocessed", products, _named(stem, f"{one}.tif"))]

    return write


def _models(products: SceneProducts, stem: Path) -> list[Path]:
    segmented = products.rasters_of(Format.MODELS)
    names = sorted(str(name) for name in segmented.data_vars if contracts.variable("segmentation", name))
    return [_raster(segmented[[name]], "segmentation", products, _named(stem, f"{name}.tif")) for name in names]


def _geoparquet(products: SceneProducts, stem: Path) -> list[Path]:
    from darts_core.vectors.files import write_geoparquet

    write_geoparquet(products.slumps, path := _named(stem, "slumps.parquet"))
    return [path]


def _geopackage(products: SceneProducts, stem: Path) -> list[Path]:
    from darts_core.vectors.files import write_geopackage

    write_geopackage(products.slumps, path := _named(stem, "slumps.gpkg"))
    return [path]


def _footprint(products: SceneProducts, stem: Path) -> list[Path]:
    outline = {"type": "FeatureCollection", "features": [outline_feature(products)]}
    return [_json(outline, _named(stem, "footprint.geojson"))]


def _thumbnail(products: SceneProducts, stem: Path) -> list[Path]:
    from darts_core.pictures import thumbnail

    image = thumbnail(products.rasters_of(Format.THUMBNAIL), products.slumps, THUMBNAIL_SIDE)
    image.save(path := _named(stem, "thumbnail.png"))
    return [path]


def _named(stem: Path, what: str) -> Path:
    return stem.with_name(f"{stem.name}_{what}")


def _raster(dataset: xr.Dataset, product: str, products: SceneProducts, path: Path) -> Path:
    from darts_core.inference.geotiff import blocks_of, write_cog

    origin = products.origin
    tags = {"scene": origin.scene, "acquired": origin.acquired, "data_version": origin.data_version}
    return write_cog(blocks_of(dataset, product, tags=tags), path)


def _json(value: Mapping[str, Any], path: Path) -> Path:
    path.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False))
    return path


_WRITERS: Mapping[Format, Callable[[SceneProducts, Path], list[Path]]] = MappingProxyType(
    {
        **{one: _mask_layer(one) for one in MASK_LAYERS},
        Format.MODELS: _models,
        Format.GEOPARQUET: _geoparquet,
        Format.GEOPACKAGE: _geopackage,
        Format.FOOTPRINT: _footprint,
        Format.THUMBNAIL: _thumbnail,
    }
)
