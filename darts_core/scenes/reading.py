"""Read a scene: digital numbers exactly as delivered, lazily, with what is needed to make reflectance of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from darts_core.grids import Grid
from darts_core.scenes import geotiff, planet, sentinel2
from darts_core.scenes.folders import Folder
from darts_core.scenes.opening import open_scene
from darts_core.scenes.plan import Layer, Plan, QualityLayer
from darts_core.scenes.rasters import Raster, lazy_bands, open_raster
from darts_core.scenes.scene import Scene, SceneError
from darts_core.scenes.stac import stac_item

_PLAN: Mapping[str, Callable[[Folder, Scene, int | None, Sequence[str] | None], Plan]] = MappingProxyType(
    {"sentinel2": sentinel2.plan, "planet": planet.plan, "geotiff": geotiff.plan}
)


def read_scene(
    scene: Scene,
    *,
    resolution: int | None = None,
    bands: list[str] | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """The raw scene, lazily: no number is changed, none is invented.

    Args:
        scene: as found by `find_scenes`.
        resolution: metres; Sentinel-2 has 10 (taken if None), 20 and 60. Other scenes have the one they have.
        bands: common names to read. None reads blue, green, red and nir of Sentinel-2, and every band of others.
        storage_options: keyword arguments of the fsspec filesystem.

    Returns:
        One variable a band, axes (y, x), dtype of the file, with the CF attributes ``scale_factor``, ``add_offset``
        and, where nodata is declared, ``_FillValue``: reflectance = number * scale_factor + add_offset. ``scl``
        (uint8, y, x) or ``udm2`` (uint8, udm2_band, y, x) as delivered, the former repeated onto a finer grid.
        Coordinates x, y (pixel centres) and spatial_ref. Attributes scene, tile, acquired, sensor, product_id,
        processing_level and stac_item, a STAC Item as a JSON object. Scenes in zips and object stores are copied to
        a temporary folder that lives until ``close()`` or the end of the process.

    Raises:
        SceneError: bands that the scene lacks, files that its metadata names and that are missing (all at once), a
            raster that is truncated, has no CRS, or lies on another grid than the rest.
    """
    folder = open_scene(scene, storage_options)
    try:
        plan = _PLAN[scene.reader](folder, scene, resolution, bands)
        files = plan.files
        _require(scene, folder, files)
        paths = folder.local(files)
        dataset = _assemble(scene, plan, {file: _open(folder, plan, file, paths[file]) for file in files})
        _check_resolution(scene, dataset, resolution)
    except BaseException:
        folder.close()
        raise
    dataset.set_close(folder.close)
    return dataset


def _require(scene: Scene, folder: Folder, files: set[str]) -> None:
    missing = sorted(files - folder.entries.keys())
    if missing:
        lines = "".join(f"\n  - {name}" for name in missing)
        raise SceneError(
            f"{scene.url}: the scene's metadata names {len(missing)} of the files to read that were not "
            f"delivered:{lines}\nDeliver them, or ask for another resolution or other bands"
        )


def _open(folder: Folder, plan: Plan, file: str, path: Path) -> Raster:
    raster = open_raster(path, folder.named(file))
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


def _assemble(scene: Scene, plan: Plan, rasters: Mapping[str, Raster]) -> xr.Dataset:
    grid = rasters[plan.layers[0].file].grid
    variables = _reflectance(plan.layers, rasters, grid)
    for layer in plan.quality:
        variables[layer.name] = _classes(layer, rasters[layer.file], grid)
    item = stac_item(scene, grid, plan.properties, _band_facts(plan.layers, variables))
    attrs = {
        "scene": scene.key,
        "tile": scene.tile,
        "acquired": scene.acquired.isoformat(),
        "sensor": scene.sensor,
        "product_id": scene.product_id,
        "processing_level": plan.processing_level,
        "stac_item": item,
    }
    return xr.Dataset(variables, grid.coordinates(), attrs).chunk(
        dict(zip(("y", "x"), rasters[plan.layers[0].file].chunk, strict=True))
    )


def _reflectance(layers: Sequence[Layer], rasters: Mapping[str, Raster], grid: Grid) -> dict[str, xr.DataArray]:
    wanted: dict[str, list[Layer]] = {}
    for layer in layers:
        wanted.setdefault(layer.file, []).append(layer)
    variables = {}
    for file, of_file in wanted.items():
        raster = rasters[file]
        if raster.grid != grid:
            raise SceneError(
                f"{raster.label} lies on another grid ({_told(raster.grid)}) than {layers[0].name} ({_told(grid)}); "
                "ask for bands of one grid, or resample before delivery"
            )
        numbers = lazy_bands(raster, [layer.band for layer in of_file])
        for position, layer in enumerate(of_file):
            variables[layer.name] = xr.DataArray(numbers[position], dims=("y", "x"), attrs=_packing(layer, raster))
    return {layer.name: variables[layer.name] for layer in layers}


def _packing(layer: Layer, raster: Raster) -> dict[str, Any]:
    """The CF attributes of a band: those of the metadata, else of the file."""
    index = layer.band - 1
    scale = raster.scales[index] if layer.scale is None else layer.scale
    offset = raster.offsets[index] if layer.offset is None else layer.offset
    if np.issubdtype(raster.dtype, np.integer) and layer.scale is None and (scale, offset) == (1.0, 0.0):
        raise SceneError(
            f"{raster.label}: {layer.name} holds integers ({raster.dtype}) and nothing says how they become "
            "reflectance. Add scale and offset to its band in the STAC Item (raster:bands, or raster:scale)"
        )
    if scale == 0 or not np.isfinite([scale, offset]).all():
        raise SceneError(
            f"{raster.label}: {layer.name} has the scale {scale:g} and offset {offset:g}; expected numbers"
        )
    attrs: dict[str, Any] = {
        "long_name": layer.long_name,
        "scale_factor": float(scale),
        "add_offset": float(offset),
    }
    nodata = next(
        (value for value in (layer.nodata, raster.nodata[index], layer.default_nodata) if value is not None), None
    )
    if nodata is not None:
        attrs["_FillValue"] = _fill_value(nodata, raster, layer.name)
    return attrs


def _fill_value(nodata: float, raster: Raster, name: str) -> np.generic:
    dtype = np.dtype(raster.dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if not (np.isfinite(nodata) and float(nodata).is_integer() and limits.min <= nodata <= limits.max):
            raise SceneError(
                f"{raster.label}: the nodata {nodata:g} of {name} is no number that {dtype} can hold. "
                "Correct it in the STAC Item or the file"
            )
        return dtype.type(int(nodata))
    return dtype.type(nodata)


def _classes(layer: QualityLayer, raster: Raster, grid: Grid) -> xr.DataArray:
    zoom = _zoom(raster, grid)
    if max(layer.bands) > raster.count:
        raise SceneError(f"{raster.label}: expected {len(layer.bands)} bands ({layer.name}), it has {raster.count}")
    classes = lazy_bands(raster, layer.bands, zoom)
    if raster.dtype != "uint8":
        classes = da.map_blocks(_as_uint8, classes, raster.label, layer.name, dtype=np.uint8)
    attrs = {"long_name": layer.long_name}
    if len(layer.bands) == 1:
        return xr.DataArray(classes[0], dims=("y", "x"), attrs=attrs)
    return xr.DataArray(classes, dims=(f"{layer.name}_band", "y", "x"), attrs=attrs)


def _zoom(raster: Raster, grid: Grid) -> int:
    """How many pixels of `grid` a pixel of a coarser raster covers along an axis, which must be a whole number."""
    zoom = grid.height // raster.grid.height or 1
    a, b, left, d, e, top = tuple(raster.grid.transform)[:6]
    fine = Grid(
        raster.grid.crs,
        type(grid.transform)(a / zoom, b, left, d, e / zoom, top),
        raster.grid.height * zoom,
        raster.grid.width * zoom,
    )
    if fine.crs != grid.crs or fine.shape != grid.shape or not fine.transform.almost_equals(grid.transform):
        raise SceneError(
            f"{raster.label} ({_told(raster.grid)}) does not nest in the grid of the bands ({_told(grid)})"
        )
    return zoom


def _as_uint8(classes: np.ndarray, label: str, name: str) -> np.ndarray:
    if classes.size and (classes.min() < 0 or classes.max() > 255):
        raise SceneError(f"{label}: {name} holds {classes.min()}..{classes.max()}, which are no classes 0..255")
    return classes.astype(np.uint8)


def _told(grid: Grid) -> str:
    size = grid.resolution[0]
    return f"{grid.height}x{grid.width} pixels of {size:g} from {grid.transform.c:g}, {grid.transform.f:g}"


def _band_facts(layers: Sequence[Layer], variables: Mapping[str, xr.DataArray]) -> dict[str, list[dict[str, Any]]]:
    facts: dict[str, list[dict[str, Any]]] = {}
    for layer in layers:
        array = variables[layer.name]
        fact: dict[str, Any] = {
            "name": layer.name,
            "description": layer.long_name,
            "data_type": str(array.dtype),
            "raster:scale": array.attrs["scale_factor"],
            "raster:offset": array.attrs["add_offset"],
        }
        if "_FillValue" in array.attrs:
            fact["nodata"] = _json_number(array.attrs["_FillValue"])
        facts.setdefault(layer.file, []).append(fact)
    return facts


def _json_number(value: np.generic) -> float | int | str:
    """STAC writes what JSON lacks as text."""
    number = value.item()
    if isinstance(number, float) and not np.isfinite(number):
        return "nan" if np.isnan(number) else ("inf" if number > 0 else "-inf")
    return number


def _check_resolution(scene: Scene, dataset: xr.Dataset, resolution: int | None) -> None:
    expected = 10 if resolution is None and scene.reader == "sentinel2" else resolution
    found = Grid.of(dataset).resolution
    if expected is not None and not np.allclose(found, expected, rtol=1e-3):
        raise SceneError(f"{scene.url}: expected pixels of {expected} m, the scene has {found[0]:g} by {found[1]:g}")
