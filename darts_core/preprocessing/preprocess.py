"""The verb `preprocess`: a raw scene and its auxiliary data become the preprocessed product."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from darts_core import contracts
from darts_core.auxiliary import AuxiliarySources, choose_sources, read_trends
from darts_core.errors import DartsError
from darts_core.grids import Grid, pixelwise
from darts_core.preprocessing.elevation import Sun, terrain_features
from darts_core.preprocessing.features import (
    BANDS,
    DEFAULT_FEATURES,
    TERRAIN,
    TRENDS,
    FeatureError,
    Features,
    available,
)
from darts_core.preprocessing.indices import compute, index_bands
from darts_core.preprocessing.masks import quality_mask, valid_mask
from darts_core.preprocessing.parameters import PreprocessParameters
from darts_core.preprocessing.reflectance import reflectance
from darts_core.scenes.quality import quality_level

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
        auxiliary: where elevation and trends lie.
        parameters: which features are made, and how. Features that are named need their source; of DARTS's own set,
            which is made where none is named, those without a source are left out.

    Returns:
        The product `preprocessed` of `darts_core.contracts`, in memory form, with the attributes of the scene and
        `dem_coverage` and `trends_coverage` (share 0..1 of the scene) where there is such data.

    Raises:
        FeatureError: an unknown feature, with near names, or one whose source is not configured.
        PreprocessError: a band is missing, has other axes, or no scale.
        GridError: no CRS; or elevation is asked for in a geographic CRS.
        AuxiliaryError: auxiliary data that cannot be read or does not touch the scene.
    """
    parameters = parameters or PreprocessParameters()
    grid = Grid.of(raw)
    auxiliary = choose_sources(auxiliary or AuxiliarySources(), grid, raw.attrs.get("acquired"))
    features = _features(raw, auxiliary, parameters)
    _require_bands(raw, features.read_bands)
    raw = _lazy(raw)
    bands = reflectance(raw, features.read_bands)
    scene = bands[[*BANDS, *features.further_bands]]
    valid = valid_mask(scene)
    scene = scene.assign({name: _index(name, bands) for name in features.indices})
    chunks = raw.chunks["y"], raw.chunks["x"]
    scene = scene.assign(terrain_features(features.terrain, auxiliary, grid, parameters, Sun.of(raw), chunks))
    scene = scene.assign(_trends(features.trends, auxiliary, grid, chunks))
    level = quality_level(raw, valid)
    scene = scene.assign(valid_data_mask=valid, quality_level=level, quality_data_mask=quality_mask(level))
    return _described(scene, raw)


def _features(raw: xr.Dataset, auxiliary: AuxiliarySources, parameters: PreprocessParameters) -> Features:
    """What to make; a feature that was named and has no source is an error, not a gap."""
    if not parameters.features:
        return Features.of(available(DEFAULT_FEATURES, auxiliary))
    gone = sorted(set(parameters.features) - set(available(parameters.features, auxiliary)))
    if gone:
        source = "trends" if gone[0] in TRENDS else "dem"
        raise FeatureError(
            f"{raw.attrs.get('scene', 'the scene')}: {', '.join(gone)} cannot be made, for no {source} is configured. "
            "Name the raster in the auxiliary sources, or ask for other features"
        )
    return Features.of(parameters.features)


def _index(name: str, bands: xr.Dataset) -> xr.DataArray:
    names = tuple(dict.fromkeys(index_bands(name)))

    def make(*values: np.ndarray) -> np.ndarray:
        return compute(name, dict(zip(names, values, strict=True)))

    return pixelwise(make, *(bands[band] for band in names), dtype="float32")


def _lazy(raw: xr.Dataset) -> xr.Dataset:
    """The scene in dask chunks, the same for every layer."""
    if any(array.chunks for array in raw.data_vars.values()):
        return raw.unify_chunks()
    return raw.chunk({"y": _CHUNK, "x": _CHUNK})


def _require_bands(raw: xr.Dataset, names: tuple[str, ...]) -> None:
    scene = raw.attrs.get("scene", "the scene")
    missing = [name for name in names if name not in raw]
    if missing:
        raise PreprocessError(
            f"{scene}: expected the bands {', '.join(names)}, missing {', '.join(missing)} "
            f"(it has {', '.join(map(str, raw.data_vars))}). Name them in the scene's STAC Item, or add their files; "
            "or ask for features without them"
        )
    bent = [name for name in names if raw[name].dims != contracts.DIMENSIONS]
    if bent:
        raise PreprocessError(f"{scene}: expected the axes (y, x), received {raw[bent[0]].dims} for {bent[0]}")
    unscaled = [name for name in names if "scale_factor" not in raw[name].attrs]
    if unscaled:
        raise PreprocessError(
            f"{scene}: expected the attribute scale_factor on every band, missing on {', '.join(unscaled)}: nothing "
            "says how their numbers become reflectance. State the scale in the scene's STAC Item"
        )


def _trends(
    names: tuple[str, ...], auxiliary: AuxiliarySources, grid: Grid, chunks: tuple[tuple[int, ...], ...]
) -> dict[str, xr.DataArray]:
    """These of tc_brightness, tc_greenness and tc_wetness."""
    if not names or auxiliary.trends is None or isinstance(auxiliary.trends, Mapping):
        return {}  # for_scene has left one source of a mapping
    trends = read_trends(
        auxiliary.trends, grid, chunks, cache=auxiliary.cache, storage_options=auxiliary.storage_options
    )
    return {name: xr.DataArray(trends[name].data, dims=contracts.DIMENSIONS, attrs=trends.attrs) for name in names}


def _described(scene: xr.Dataset, raw: xr.Dataset) -> xr.Dataset:
    """`scene` in the order and with the attributes of the contract."""
    product = str(raw.attrs.get("product_id") or raw.attrs.get("scene") or "unknown scene")
    table = [row.name for row in contracts.PRODUCTS["preprocessed"]]
    # indices of the catalogue, which have no place in the table, follow it
    order = sorted(map(str, scene.data_vars), key=lambda name: table.index(name) if name in table else len(table))
    sources = {name: scene[name].attrs.get("data_source", product) for name in order}
    coverages = {
        f"{source}_coverage": scene[name].attrs["coverage"]
        for source, names in (("dem", TERRAIN), ("trends", TRENDS))
        for name in names
        if name in scene
    }
    described = contracts.conform(scene[order], "preprocessed", sources)
    moved = [name for name in raw.attrs if str(name).startswith("coregistration")]
    scene_attrs = {name: raw.attrs[name] for name in (*SCENE_ATTRIBUTES, *moved) if name in raw.attrs}
    described.attrs = {**scene_attrs, **coverages}
    contracts.validate(described, "preprocessed", values=False)
    return described
