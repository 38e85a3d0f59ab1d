"""The verb `preprocess`: a raw scene and its auxiliary data become the preprocessed product."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from darts_core import contracts
from darts_core.auxiliary import AuxiliarySources, read_dem, read_trends
from darts_core.errors import DartsError
from darts_core.grids import Grid, pixelwise
from darts_core.preprocessing import indices, terrain
from darts_core.preprocessing.masks import quality_mask, valid_mask
from darts_core.preprocessing.parameters import PreprocessParameters
from darts_core.preprocessing.reflectance import reflectance
from darts_core.scenes.quality import quality_level

BANDS = tuple(row.name for row in contracts.REFLECTANCE)
SCENE_ATTRIBUTES = ("scene", "tile", "acquired", "sensor", "product_id", "processing_level")
"""What every product says about the scene it is made from."""

_CHUNK = 1024


class PreprocessError(DartsError):
    """A raw scene that cannot be preprocessed."""


def preprocess(
    raw: xr.Dataset,
    auxiliary: AuxiliarySources | None = None,
    parameters: PreprocessParameters | None = None,
) -> xr.Dataset:
    """The preprocessed product of one scene. Lazy: what it holds is computed when it is written or asked for.

    Args:
        raw: blue, green, red, nir (and more) as digital numbers, axes (y, x), with attributes `scale_factor`,
            `add_offset` and maybe `_FillValue`; maybe the quality layers `scl` or `udm2`; a CRS.
        auxiliary: where elevation and trends lie; features without a source are left out.
        parameters: see `PreprocessParameters`.

    Returns:
        The product `preprocessed` of `darts_core.contracts`, in memory form, with the attributes of the scene and
        `dem_coverage` and `trends_coverage` (share 0..1 of the scene) where there is such data.

    Raises:
        PreprocessError: a band is missing, has other axes, or no scale.
        GridError: no CRS; or elevation is asked for in a geographic CRS.
        AuxiliaryError: auxiliary data that cannot be read or does not touch the scene.
    """
    parameters = parameters or PreprocessParameters()
    grid = Grid.of(raw)
    auxiliary = (auxiliary or AuxiliarySources()).for_scene(grid, raw.attrs.get("acquired"))
    _require_bands(raw)
    raw = _lazy(raw)
    scene = reflectance(raw)
    scene["ndvi"] = pixelwise(indices.ndvi, scene["red"], scene["nir"], dtype="float32")
    scene = scene.assign(_terrain(auxiliary, grid, scene, parameters)).assign(_trends(auxiliary, grid, scene))
    scene["valid_data_mask"] = valid_mask(scene[list(BANDS)])
    scene["quality_level"] = quality_level(raw, scene["valid_data_mask"])
    scene["quality_data_mask"] = quality_mask(scene["quality_level"])
    return _described(scene, raw)


def _lazy(raw: xr.Dataset) -> xr.Dataset:
    """The scene in dask chunks, the same for every layer."""
    if any(array.chunks for array in raw.data_vars.values()):
        return raw.unify_chunks()
    return raw.chunk({"y": _CHUNK, "x": _CHUNK})


def _require_bands(raw: xr.Dataset) -> None:
    scene = raw.attrs.get("scene", "the scene")
    missing = [name for name in BANDS if name not in raw]
    if missing:
        raise PreprocessError(
            f"{scene}: expected the bands {', '.join(BANDS)}, missing {', '.join(missing)} "
            f"(it has {', '.join(map(str, raw.data_vars))}). Name them in the scene's STAC Item, or add their files"
        )
    bent = [name for name in BANDS if raw[name].dims != contracts.DIMENSIONS]
    if bent:
        raise PreprocessError(f"{scene}: expected the axes (y, x), received {raw[bent[0]].dims} for {bent[0]}")
    unscaled = [name for name in BANDS if "scale_factor" not in raw[name].attrs]
    if unscaled:
        raise PreprocessError(
            f"{scene}: expected the attribute scale_factor on every band, missing on {', '.join(unscaled)}: nothing "
            "says how their numbers become reflectance. State the scale in the scene's STAC Item"
        )


def _terrain(
    auxiliary: AuxiliarySources, grid: Grid, scene: xr.Dataset, parameters: PreprocessParameters
) -> dict[str, xr.DataArray]:
    """slope and relative_elevation on the scene's grid, or nothing where no DEM is configured."""
    if auxiliary.dem is None:
        return {}
    import dask.array as da

    pixel = grid.metres()
    buffer = max(parameters.dem_buffer_m, *pixel)
    dem = read_dem(
        auxiliary.dem,
        grid,
        buffer,
        scene["red"].chunks,
        cache=auxiliary.cache,
        storage_options=auxiliary.storage_options,
    )
    rows, columns = dem.attrs["buffer_pixels"]
    inner = (slice(rows, rows + grid.height), slice(columns, columns + grid.width))
    row = contracts.VARIABLES["relative_elevation"]
    lowest, highest = row.decode(np.array(row.codes, row.disk))

    def position(block: np.ndarray) -> np.ndarray:
        index = terrain.relative_elevation(block, pixel, parameters.relative_elevation_radius_m)
        return np.clip(index, lowest, highest)

    features = {
        "relative_elevation": (position, terrain.reach(pixel, parameters.relative_elevation_radius_m)),
        "slope": (lambda block: terrain.slope(block, pixel), (terrain.SLOPE_REACH,) * 2),
    }
    source = {"data_source": dem.attrs["data_source"], "coverage": dem.attrs["coverage"]}
    return {
        name: xr.DataArray(
            da.map_overlap(function, dem.data, depth=depth, boundary="none", dtype=np.float32)[inner],
            dims=contracts.DIMENSIONS,
            coords=scene.coords,
            attrs=source,
        )
        for name, (function, depth) in features.items()
    }


def _trends(auxiliary: AuxiliarySources, grid: Grid, scene: xr.Dataset) -> dict[str, xr.DataArray]:
    """tc_brightness, tc_greenness, tc_wetness, or nothing where no trends are configured."""
    if auxiliary.trends is None or isinstance(auxiliary.trends, Mapping):
        return {}  # none configured: for_scene has left one source of a mapping
    trends = read_trends(
        auxiliary.trends,
        grid,
        scene["red"].chunks,
        cache=auxiliary.cache,
        storage_options=auxiliary.storage_options,
    )
    return {
        str(name): xr.DataArray(array.data, coords=scene.coords, dims=contracts.DIMENSIONS, attrs=trends.attrs)
        for name, array in trends.data_vars.items()
    }


def _described(scene: xr.Dataset, raw: xr.Dataset) -> xr.Dataset:
    """`scene` in the order and with the attributes of the contract."""
    product = str(raw.attrs.get("product_id") or raw.attrs.get("scene") or "unknown scene")
    order = [row.name for row in contracts.PRODUCTS["preprocessed"] if row.name in scene]
    sources: Mapping[str, str] = {name: scene[name].attrs.get("data_source", product) for name in order}
    coverages = {
        f"{source}_coverage": scene[name].attrs["coverage"]
        for source, name in (("dem", "slope"), ("trends", "tc_wetness"))
        if name in scene
    }
    described = contracts.conform(scene[order], "preprocessed", sources)
    scene_attrs = {name: raw.attrs[name] for name in SCENE_ATTRIBUTES if name in raw.attrs}
    described.attrs = {**scene_attrs, **coverages}
    contracts.validate(described, "preprocessed", values=False)
    return described
