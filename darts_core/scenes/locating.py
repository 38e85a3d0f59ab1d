"""Where the bands of a scene lie, and how their numbers are packed; no pixel is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from darts_core.grids import Grid
from darts_core.remote import RemoteFile
from darts_core.scenes import geotiff, items, landsat, planet, sentinel2
from darts_core.scenes.folders import Folder
from darts_core.scenes.opening import open_scene
from darts_core.scenes.plan import Layer, Plan, choose_quality
from darts_core.scenes.rasters import Raster, open_raster
from darts_core.scenes.scene import Scene, SceneError

_PLAN: Mapping[str, Callable[[Folder, Scene, int | None, Sequence[str] | None], Plan]] = MappingProxyType(
    {
        "sentinel2": sentinel2.plan,
        "landsat": landsat.plan,
        "planet": planet.plan,
        "geotiff": geotiff.plan,
        "stac": items.plan,
    }
)


@dataclass(frozen=True, slots=True)
class Located:
    """Where the bands of a scene lie, found whole and on one grid; no pixel was read."""

    plan: Plan
    rasters: Mapping[str, Raster]
    """File to raster."""
    grid: Grid
    """Of the bands; quality layers may lie on a coarser one."""
    folder: Folder
    """Close it to remove the copies of an archive or an object store."""


def locate(
    scene: Scene,
    *,
    resolution: int | None = None,
    bands: Sequence[str] | None = None,
    quality: Sequence[str] | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Located:
    """Find the files of a scene. Arguments and errors are those of `read_scene`."""
    folder = open_scene(scene, storage_options)
    try:
        plan = _PLAN[scene.reader](folder, scene, resolution, bands)
        plan = replace(plan, quality=choose_quality(scene, plan.quality, quality))
        _require(scene, folder, plan.files)
        located = open_located(folder, plan)
        _check_resolution(scene, located.grid, resolution)
    except BaseException:
        folder.close()
        raise
    return located


def _require(scene: Scene, folder: Folder, files: set[str]) -> None:
    missing = sorted(files - folder.entries.keys())
    if missing:
        lines = "".join(f"\n  - {name}" for name in missing)
        raise SceneError(
            f"{scene.url}: the scene's metadata names {len(missing)} of the files to read that were not "
            f"delivered:{lines}\nDeliver them, or ask for another resolution or other bands"
        )


def open_located(folder: Folder, plan: Plan, *, sidecars: bool = False) -> Located:
    """Open the files of a plan, which are all there.

    Args:
        sidecars: whether what lies beside a file (statistics, masks, headers) is part of it.

    Raises:
        SceneError: a file that cannot be read, or bands on two grids.
    """
    paths = folder.local(plan.files)
    rasters = {file: _open(folder, plan, file, paths[file], sidecars) for file in sorted(plan.files)}
    first = plan.layers[0]
    grid = rasters[first.file].grid
    for layer in plan.layers:
        raster = rasters[layer.file]
        if raster.grid != grid:
            raise SceneError(
                f"{raster.label} lies on another grid ({told(raster.grid)}) than {first.name} ({told(grid)}); "
                "ask for bands of one grid, or resample before delivery"
            )
    return Located(plan, rasters, grid, folder)


def _open(folder: Folder, plan: Plan, file: str, path: Path | RemoteFile, sidecars: bool) -> Raster:
    raster = open_raster(path, folder.named(file), sidecars=sidecars)
    names = plan.file_bands.get(file)
    if names is not None and raster.count != len(names):
        raise SceneError(
            f"{raster.label}: expected the {len(names)} bands {', '.join(names)}, the file has {raster.count}"
        )
    contradicted = [
        f"band {number} is {name!r} by the file's own description {said!r}"
        for number, (expected, said) in enumerate(zip(names or (), raster.descriptions, strict=False), start=1)
        if (name := _spoken(said)) in (names or ()) and name != expected
    ]
    if contradicted:
        raise SceneError(f"{raster.label}: expected the bands {', '.join(names or ())}, but {contradicted[0]}")
    return raster


def _spoken(description: str | None) -> str:
    """A band description as the common name it stands for."""
    name = (description or "").strip().lower().replace(" ", "_").replace("-", "_")
    return {"coastal_blue": "coastal", "near_infrared": "nir", "red_edge": "rededge", "greeni": "green_i"}.get(
        name, name
    )


def told(grid: Grid) -> str:
    """How errors describe a grid."""
    size = grid.resolution[0]
    return f"{grid.height}x{grid.width} pixels of {size:g} from {grid.transform.c:g}, {grid.transform.f:g}"


def _check_resolution(scene: Scene, grid: Grid, resolution: int | None) -> None:
    expected = 10 if resolution is None and scene.reader == "sentinel2" else resolution
    found = grid.resolution
    if expected is not None and not np.allclose(found, expected, rtol=1e-3):
        raise SceneError(f"{scene.url}: expected pixels of {expected} m, the scene has {found[0]:g} by {found[1]:g}")


def packing(layer: Layer, raster: Raster) -> dict[str, Any]:
    """The CF attributes that make reflectance of the numbers of a band: those of the metadata, else of the file.

    Raises:
        SceneError: integers of which nothing says what they mean, or a scale, offset or nodata that cannot be.
    """
    index = layer.band - 1
    offset = raster.offsets[index] if layer.offset is None else layer.offset
    scale = _scale(layer, raster)
    if scale == 0 or not np.isfinite([scale, offset]).all():
        raise SceneError(
            f"{raster.label}: {layer.name} has the scale {scale:g} and offset {offset:g}; expected numbers"
        )
    attrs: dict[str, Any] = {"scale_factor": float(scale), "add_offset": float(offset)}
    nodata = raster.nodata[index] if layer.nodata is None else layer.nodata
    if nodata is None and layer.default_nodata is not None and _holds(raster.dtype, layer.default_nodata):
        nodata = layer.default_nodata
    if nodata is not None:
        attrs["_FillValue"] = _fill_value(nodata, raster, layer.name)
    return attrs


def says_scale(layer: Layer, raster: Raster) -> bool:
    """Whether metadata or file state how the numbers of a band become reflectance; floats are reflectance."""
    stated = layer.scale is not None or raster.says_scale(layer.band)
    return stated or not np.issubdtype(raster.dtype, np.integer)


def _scale(layer: Layer, raster: Raster) -> float:
    if says_scale(layer, raster):
        return raster.scales[layer.band - 1] if layer.scale is None else layer.scale
    if layer.default_scale is not None and np.dtype(raster.dtype).itemsize > 1:
        return layer.default_scale
    raise SceneError(
        f"{raster.label}: {layer.name} holds integers ({raster.dtype}) and nothing says how they become "
        "reflectance. Set scale and offset in the file, or in the STAC Item (raster:bands, or raster:scale)"
    )


def _fill_value(nodata: float, raster: Raster, name: str) -> np.generic:
    if not _holds(raster.dtype, nodata):
        raise SceneError(
            f"{raster.label}: the nodata {nodata:g} of {name} is no number that {raster.dtype} can hold. "
            "Correct it in the STAC Item or the file"
        )
    return np.dtype(raster.dtype).type(nodata)


def _holds(dtype: str, number: float) -> bool:
    if not np.issubdtype(dtype, np.integer):
        return True
    limits = np.iinfo(dtype)
    return bool(np.isfinite(number) and float(number).is_integer() and limits.min <= number <= limits.max)


def properties_of(scene: Scene, storage_options: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """What the metadata of a scene says of it, as properties of a STAC Item; no raster is opened.

    Raises:
        SceneError: the scene is gone, or its metadata cannot be read.
    """
    folder = open_scene(scene, storage_options)
    try:
        return _PLAN[scene.reader](folder, scene, None, None).properties
    finally:
        folder.close()
