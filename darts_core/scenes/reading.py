"""Read a scene: digital numbers exactly as delivered, lazily, with what is needed to make reflectance of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from darts_core.grids import Grid
from darts_core.scenes.locating import Located, locate, packing, told
from darts_core.scenes.plan import Layer, Plan, QualityLayer
from darts_core.scenes.rasters import CHUNK, Raster, lazy_bands
from darts_core.scenes.scene import Scene, SceneError
from darts_core.scenes.stac import stac_item


def read_scene(
    scene: Scene,
    *,
    resolution: int | None = None,
    bands: list[str] | None = None,
    quality: Sequence[str] | None = None,
    chunk: int = CHUNK,
    storage_options: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """The raw scene, lazily: no number is changed, none is invented.

    Args:
        scene: as found by `find_scenes`.
        resolution: metres; Sentinel-2 has 10 (taken if None), 20 and 60. Other scenes have the one they have.
        bands: common names to read. None reads blue, green, red and nir of Sentinel-2, these and swir16 and swir22 of
            Landsat, and every band of others.
        quality: names of the quality layers to read. None reads what classifies each pixel: ``scl``, ``udm2`` or
            ``udm``, ``qa_pixel``, or the layers that a STAC Item names; Sentinel-2 L2A has ``cloud_probability`` and
            ``snow_probability`` besides.
        chunk: pixels a side that dask reads at once. A scene that is loaded whole is loaded fastest in one chunk: ask
            for one larger than the scene.
        storage_options: keyword arguments of the fsspec filesystem.

    Returns:
        One variable a band, axes (y, x), dtype of the file, with the CF attributes ``scale_factor``, ``add_offset``
        and, where nodata is declared, ``_FillValue``: reflectance = number * scale_factor + add_offset. The
        quality layers as delivered, each pixel of a coarser one repeated: uint8 (y, x), but ``qa_pixel`` and
        ``observations`` uint16, and ``udm2`` with the axes (udm2_band, y, x); see `darts_core.scenes.quality`.
        Coordinates x, y (pixel centres) and spatial_ref. Attributes scene, tile, acquired, sensor, product_id,
        processing_level and stac_item, a STAC Item as a JSON object. Scenes in archives and object stores are copied to
        a temporary folder that lives until ``close()`` or the end of the process.

    Raises:
        SceneError: bands or quality layers that the scene lacks, files that its metadata names and that are missing
            (all at once), a raster that is truncated, has no CRS, or lies on another grid than the rest.
    """
    located = locate(scene, resolution=resolution, bands=bands, quality=quality, storage_options=storage_options)
    try:
        dataset = _assemble(scene, located, chunk)
    except BaseException:
        located.folder.close()
        raise
    dataset.set_close(located.folder.close)
    return dataset


def _assemble(scene: Scene, located: Located, chunk: int) -> xr.Dataset:
    plan, rasters, grid = located.plan, located.rasters, located.grid
    for raster in rasters.values():
        if raster.grid.transform.b or raster.grid.transform.d:
            raise SceneError(f"{raster.label} is rotated against its CRS; warp it to a north-up grid first")
    variables = _reflectance(plan.layers, rasters, chunk)
    for layer in plan.quality:
        variables[layer.name] = _classes(layer, rasters[layer.file], grid, chunk)
    facts = {located.folder.href(file): said for file, said in _band_facts(plan.layers, variables).items()}
    item = stac_item(scene, grid, plan.properties, facts)
    attrs = {**scene_attributes(scene, plan), "stac_item": item}
    return xr.Dataset(variables, grid.coordinates(), attrs).chunk(
        dict(zip(("y", "x"), rasters[plan.layers[0].file].blocks_of(chunk, chunk), strict=True))
    )


def scene_attributes(scene: Scene, plan: Plan) -> dict[str, str]:
    """What a dataset says about the scene that it holds."""
    return {
        "scene": scene.key,
        "tile": scene.tile,
        "acquired": scene.acquired.isoformat(),
        "sensor": scene.sensor,
        "product_id": scene.product_id,
        "processing_level": plan.processing_level,
    }


def _reflectance(layers: Sequence[Layer], rasters: Mapping[str, Raster], chunk: int) -> dict[str, xr.DataArray]:
    wanted: dict[str, list[Layer]] = {}
    for layer in layers:
        wanted.setdefault(layer.file, []).append(layer)
    variables = {}
    for file, of_file in wanted.items():
        raster = rasters[file]
        numbers = lazy_bands(raster, [layer.band for layer in of_file], chunk=chunk)
        for position, layer in enumerate(of_file):
            attrs = {"long_name": layer.long_name, **packing(layer, raster)}
            variables[layer.name] = xr.DataArray(numbers[position], dims=("y", "x"), attrs=attrs)
    return {layer.name: variables[layer.name] for layer in layers}


def _classes(layer: QualityLayer, raster: Raster, grid: Grid, chunk: int) -> xr.DataArray:
    zoom = _zoom(raster, grid)
    if max(layer.bands) > raster.count:
        raise SceneError(f"{raster.label}: expected {len(layer.bands)} bands ({layer.name}), it has {raster.count}")
    classes = lazy_bands(raster, layer.bands, zoom, max(1, chunk // zoom))
    if raster.dtype != layer.dtype:
        classes = da.map_blocks(_narrowed, classes, layer.dtype, raster.label, layer.name, dtype=layer.dtype)
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
        raise SceneError(f"{raster.label} ({told(raster.grid)}) does not nest in the grid of the bands ({told(grid)})")
    return zoom


def _narrowed(classes: np.ndarray, dtype: str, label: str, name: str) -> np.ndarray:
    most = np.iinfo(dtype).max
    if classes.size and (classes.min() < 0 or classes.max() > most):
        raise SceneError(f"{label}: {name} holds {classes.min()}..{classes.max()}, expected 0..{most}")
    return classes.astype(dtype)


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
