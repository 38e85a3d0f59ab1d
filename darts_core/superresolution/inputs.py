"""What can be super-resolved: whatever users point at, as one kind of dataset.

Scale, offset and nodata are those that metadata declares or the user gives; no value of a pixel decides them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import xarray as xr

from darts_core.contracts import REFLECTANCE, REFLECTANCE_20M
from darts_core.errors import DartsError
from darts_core.scenes.bare import locate_file, locate_folder
from darts_core.scenes.finding import LOOKED_FOR, find_scenes, is_described
from darts_core.scenes.folders import CopiedFolder
from darts_core.scenes.locating import Located, locate, says_scale
from darts_core.scenes.opening import filesystem
from darts_core.scenes.reading import scene_attributes
from darts_core.scenes.scene import Findings, is_archive
from darts_core.superresolution.lazily import lazy_dataset


class InputError(DartsError):
    """Nothing that can be super-resolved, or more than one scene."""


class BandSet(StrEnum):
    """Bands that are super-resolved together: those of Sentinel-2 with the same pixel size."""

    TEN = "10m"
    TWENTY = "20m"

    @property
    def bands(self) -> tuple[str, ...]:
        """Common names, in the order of the contract."""
        return tuple(row.name for row in (REFLECTANCE if self is BandSet.TEN else REFLECTANCE_20M))

    @property
    def metres(self) -> int:
        """Size of a pixel of Sentinel-2."""
        return int(self.value.removesuffix("m"))


@dataclass(frozen=True, slots=True)
class SceneInput:
    """A scene, ready to be super-resolved."""

    dataset: xr.Dataset
    """The bands, float32 reflectance, NaN = nodata, and `valid_data_mask` (bool, True = every band holds data), axes
    (y, x), lazy: a slice reads what it holds. `spatial_ref` has CRS and transform, also a rotated one, which has no
    coordinates y and x. Attribute `scene`, and of a scene with metadata tile, acquired, sensor, product_id,
    processing_level. Close it to remove the copies that a zip or an object store needs."""
    name: str
    """Of the product, folder or file."""
    tags: Mapping[str, str]
    """What the result should carry on: the tags of the file, what is known about the scene, what was assumed."""
    band_tags: Mapping[str, Mapping[str, str]]
    """The same of each band, by its name."""


def open_input(
    path: str | Path,
    bands: BandSet = BandSet.TEN,
    *,
    scale: float | None = None,
    offset: float | None = None,
    nodata: float | None = None,
    band_order: Sequence[str] | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> SceneInput:
    """Open a scene: a raster file, a .SAFE folder, zipped or not, a Planet order, a GeoTIFF with a STAC Item beside
    it, or a folder of the Sentinel-2 Global Mosaic.

    Integers of more than 8 bits in a raster file or mosaic that declares no scale count as reflectance * 10000, which
    are Sentinel-2's digital numbers; the tag `reflectance_scale` then says ``assumed 0.0001``.

    Args:
        path: file or folder, or its URL in an object store.
        bands: exactly these are taken; others that are there are left.
        scale: reflectance = number * scale + offset, in place of what the metadata declares.
        offset: the same.
        nodata: the number (nan and -inf too) that marks no data, in place of what the metadata declares.
        band_order: for a raster file, the name of each band in its order, such as ``B04`` or ``red``, in place of
            descriptions and of any metadata beside the file.
        storage_options: keyword arguments of the fsspec filesystem.

    Raises:
        InputError: nothing there that can be super-resolved, or more than one scene.
        SceneError: bands that are missing, not named or on two grids, a file that metadata names and that is
            missing, truncated, without a CRS, or of which nothing says how its integers become reflectance.
    """
    located, name, attrs = _locate(str(path), bands, band_order, storage_options)
    try:
        located = _overridden(located, scale, offset, nodata)
        dataset = lazy_dataset(located, name, attrs)
    except BaseException:
        located.folder.close()
        raise
    if isinstance(located.folder, CopiedFolder):
        dataset.set_close(located.folder.close)
    band_tags = {layer.name: located.rasters[layer.file].band_tags[layer.band - 1] for layer in located.plan.layers}
    return SceneInput(dataset, name, {**_common_tags(located), **attrs, **_assumed(located)}, band_tags)


def _locate(
    url: str, bands: BandSet, band_order: Sequence[str] | None, options: Mapping[str, Any] | None
) -> tuple[Located, str, dict[str, str]]:
    """Where the bands lie, and the name and attributes of the scene."""
    fs, url = filesystem(url, options)
    is_raster = fs.isfile(url) and not is_archive(url)
    if is_raster and (band_order is not None or not is_described(url, options)):
        located = locate_file(url, bands.bands, band_order, options)
        return located, Path(url).stem, {"scene": Path(url).stem}
    if band_order is not None:
        raise InputError(f"{url} names its bands itself; band_order is for a raster file. Leave it out")
    findings = find_scenes(url, options)
    if findings.scenes:
        return _locate_scene(url, findings, bands, options)
    mosaic = None if fs.isfile(url) else locate_folder(url, bands.bands, options)
    if mosaic is None:
        raise InputError(_nothing(url, findings))
    return mosaic, Path(url).name, {"scene": Path(url).name}


def _locate_scene(
    url: str, findings: Findings, bands: BandSet, options: Mapping[str, Any] | None
) -> tuple[Located, str, dict[str, str]]:
    scene, *others = findings.scenes
    if others:
        raise InputError(f"{url} holds {1 + len(others)} scenes; name one: {', '.join(s.url for s in findings.scenes)}")
    resolution = bands.metres if scene.reader == "sentinel2" else None
    located = locate(scene, resolution=resolution, bands=bands.bands, quality=(), storage_options=options)
    return located, scene.product_id, scene_attributes(scene, located.plan)


def _nothing(url: str, findings: Findings) -> str:
    reasons = "".join(
        f"\n  - {refusal.url}: {'; '.join(f'{reader}: {why}' for reader, why in refusal.reasons.items())}"
        for refusal in findings.refusals
    )
    return (
        f"{url} holds nothing that can be super-resolved: expected a scene ({LOOKED_FOR}), or the files B02.tif, "
        f"B03.tif, B04.tif, B08.tif of a Sentinel-2 Global Mosaic.{reasons}"
    )


def _overridden(located: Located, scale: float | None, offset: float | None, nodata: float | None) -> Located:
    layers = tuple(
        replace(
            layer,
            scale=layer.scale if scale is None else scale,
            offset=layer.offset if offset is None else offset,
            nodata=layer.nodata if nodata is None else nodata,
        )
        for layer in located.plan.layers
    )
    return replace(located, plan=replace(located.plan, layers=layers))


def _common_tags(located: Located) -> dict[str, str]:
    """The tags that all of the files have alike."""
    first, *others = (raster.tags for raster in located.rasters.values())
    return {name: text for name, text in first.items() if all(tags.get(name) == text for tags in others)}


def _assumed(located: Located) -> dict[str, str]:
    silent = [layer for layer in located.plan.layers if not says_scale(layer, located.rasters[layer.file])]
    return {"reflectance_scale": f"assumed {silent[0].default_scale:g}"} if silent else {}
