"""Rasters that no scene metadata describes: a file of named bands, or a folder with one file a band.

The folder is that of the Sentinel-2 Global Mosaic (S2GM; the Level-3 quarterly mosaics of the Copernicus Data Space):
``B02.tif``, ``B03.tif``, ``B04.tif`` and ``B08.tif``, with or without a prefix; mosaics of the former Mosaic Hub have
``B05`` to ``B12`` too. Their numbers are reflectance * 10000, without an offset, and -32768 where there was no valid
observation. Source: Copernicus Data Space Ecosystem, documentation of the Sentinel-2 Level-3 quarterly mosaics,
section "Algorithm", steps 1, 5 and 6. What a file declares itself goes before that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from darts_core.scenes.folders import Folder
from darts_core.scenes.locating import Located, open_located
from darts_core.scenes.opening import filesystem, open_tree
from darts_core.scenes.plan import Layer, Plan
from darts_core.scenes.rasters import Raster, open_raster
from darts_core.scenes.scene import SceneError
from darts_core.scenes.sentinel2 import COMMON_NAMES

_DIGITAL_NUMBER = 1e-4
"""Reflectance of a digital number of 1, in Sentinel-2's convention."""
_MOSAIC_NODATA = -32768

_CODE = re.compile(r"(?<![0-9a-z])b(\d{1,2}|0?8a)(?![0-9a-z])", re.IGNORECASE)
_BAND_FILE = re.compile(r"(?:.*[_.-])?(B\d\d|B0?8A)(?:_\d\dm)?\.tiff?", re.IGNORECASE)
_SPOKEN: Mapping[str, str] = MappingProxyType(
    {
        **{name: name for name in COMMON_NAMES.values()},
        "nearinfrared": "nir",
        "rededge1": "rededge071",
        "rededge2": "rededge075",
        "rededge3": "rededge078",
        "narrownir": "nir08",
        "nirnarrow": "nir08",
        "swir1": "swir16",
        "swir2": "swir22",
    }
)
"""Descriptions, less case and punctuation, to common names."""


def common_name(description: str | None) -> str | None:
    """The STAC common name of a Sentinel-2 band by its code (``B2``, ``B02``, ``B02_10m``) or by its name, or None."""
    text = description or ""
    codes = {_normal(code) for code in _CODE.findall(text)}
    if codes:
        return COMMON_NAMES.get(codes.pop()) if len(codes) == 1 else None
    return _SPOKEN.get(re.sub(r"[\W_]", "", text.lower()))


def _normal(code: str) -> str:
    return f"B{code.upper().removeprefix('0'):0>2}"


def locate_file(
    url: str,
    bands: Sequence[str],
    band_order: Sequence[str] | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Located:
    """Bands of a raster file that GDAL reads, by their descriptions or by `band_order`.

    Args:
        url: of the file.
        bands: common names that are wanted.
        band_order: a name for each band of the file; it goes before the descriptions.

    Raises:
        SceneError: no such file, one that cannot be read or lies nowhere, or one that lacks or does not name a band.
    """
    _, url = filesystem(url, storage_options)
    home, _, name = url.rpartition("/")
    folder = open_tree(home, storage_options, deep=False)
    if name not in folder.entries:
        raise SceneError(f"{url} does not exist")
    try:
        raster = open_raster(folder.local([name])[name], url, sidecars=True)
        return open_located(folder, Plan(_file_layers(raster, name, bands, band_order)), sidecars=True)
    except BaseException:
        folder.close()
        raise


def _file_layers(
    raster: Raster, file: str, bands: Sequence[str], band_order: Sequence[str] | None
) -> tuple[Layer, ...]:
    names = _names(raster, band_order)
    missing = [band for band in bands if band not in names]
    if missing:
        said = ", ".join(text or "-" for text in band_order or raster.descriptions)
        raise SceneError(
            f"{raster.label}: expected the bands {', '.join(bands)}, by these names or by Sentinel-2's codes; "
            f"{', '.join(missing)} missing. The file has {raster.count} bands: {said}. Describe them in the file, or "
            f"name all of them in their order by band_order, such as {','.join(bands)}"
        )
    return tuple(
        Layer(band, file, f"Reflectance, {band}", names.index(band) + 1, default_scale=_DIGITAL_NUMBER)
        for band in bands
    )


def _names(raster: Raster, band_order: Sequence[str] | None) -> list[str | None]:
    """The common name of each band, None where it has none."""
    if band_order is not None:
        expected = raster.count - (raster.alpha is not None)
        if len(band_order) not in {raster.count, expected}:
            raise SceneError(
                f"{raster.label}: expected a band order of {expected} names, one a band of the file, "
                f"received {len(band_order)}: {', '.join(band_order)}"
            )
    names = [common_name(text) for text in (raster.descriptions if band_order is None else band_order)]
    if len(names) < raster.count:
        names.insert((raster.alpha or raster.count) - 1, None)
    repeated = sorted({name for name in names if name is not None and names.count(name) > 1})
    if repeated:
        raise SceneError(f"{raster.label}: more than one band is named {', '.join(repeated)}. Say which by band_order")
    return names


def locate_folder(url: str, bands: Sequence[str], storage_options: Mapping[str, Any] | None = None) -> Located | None:
    """Bands of a Sentinel-2 Global Mosaic in the folder `url` or below it, or None where no file is named as one.

    Raises:
        SceneError: a band that is missing or there twice, a file that cannot be read, or bands on two grids.
    """
    folder = open_tree(url, storage_options)
    files: dict[str, list[str]] = {}
    for path in folder.entries:
        code = _BAND_FILE.fullmatch(path.rpartition("/")[2])
        if code and (name := common_name(code[1])):
            files.setdefault(name, []).append(path)
    if not files:
        return None
    _check_files(folder, files, bands)
    layers = tuple(
        Layer(
            band,
            files[band][0],
            f"Surface reflectance, {band}",
            default_nodata=_MOSAIC_NODATA,
            default_scale=_DIGITAL_NUMBER,
        )
        for band in bands
    )
    try:
        one_each = {layer.file: (layer.name,) for layer in layers}
        return open_located(folder, Plan(layers, file_bands=one_each), sidecars=True)
    except BaseException:
        folder.close()
        raise


def _check_files(folder: Folder, files: Mapping[str, list[str]], bands: Sequence[str]) -> None:
    codes = {name: code for code, name in COMMON_NAMES.items()}
    missing = [f"{codes[band]}.tif" for band in bands if band not in files]
    if missing:
        found = ", ".join(path for paths in files.values() for path in paths)
        raise SceneError(
            f"{folder.url}: expected a Sentinel-2 Global Mosaic with a file for each of {', '.join(bands)}; "
            f"{', '.join(missing)} missing. It has {found}"
        )
    twice = [path for band in bands if len(files[band]) > 1 for path in files[band]]
    if twice:
        raise SceneError(f"{folder.url} holds a band more than once: {', '.join(twice)}. Name the folder of one mosaic")
