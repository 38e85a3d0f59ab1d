"""Postprocessing: from probabilities to objects, where slumps can be told at all."""

from __future__ import annotations

import numpy as np
import xarray as xr

from darts_core import contracts
from darts_core.errors import DartsError
from darts_core.grids import pixelwise
from darts_core.postprocessing.parameters import PostprocessParameters


class PostprocessError(DartsError):
    """Probabilities and quality do not fit together."""


def postprocess(
    ensembled: xr.Dataset,
    quality_level: xr.DataArray,
    parameters: PostprocessParameters | None = None,
    excluded: xr.DataArray | None = None,
) -> xr.Dataset:
    """Binarize probabilities and keep the objects that can be trusted. Lazy where the input is.

    Args:
        ensembled: `probabilities` float32 0..1, axes (y, x), NaN = nodata.
        quality_level: uint8 0 invalid, 1 low, 2 high, on the same grid.
        parameters: see `PostprocessParameters`. With `compat="darts"`, as with `remove_touching` off, the result is
            that of DARTS, which masks before it labels, so that nothing touches the mask any more. An edge erosion
            of 0 stays 0 there too, where DARTS would blank the scene.
        excluded: bool on the same grid, True where no slump can be (water, glaciers; `darts_core.exclusions` reads
            them). It takes away objects and leaves the extent as it is: what lies there was looked at, and a slump on
            a shore, whose mask is seldom exact to the pixel, stays whole.

    Returns:
        The product `postprocessed`: `extent` (bool, True where slumps were looked for; at quality level 0 the
        whole scene, without erosion), `probabilities_percent` (uint8 0..100, 255 beyond the extent and where
        there is no probability) and `binarized_segmentation` (uint8 0/1).

    Raises:
        PostprocessError: no `probabilities`, or the quality or the excluded ground lies on another grid.
    """
    parameters = parameters or PostprocessParameters()
    probabilities = _checked(ensembled)
    scene = str(ensembled.attrs.get("scene", "the scene"))
    extent = looked_at(_aligned(quality_level, probabilities, "quality level", scene), parameters)
    if excluded is not None:
        excluded = _aligned(excluded, probabilities, "excluded ground", scene)
    product = xr.Dataset(
        {
            "probabilities_percent": percent(probabilities, extent),
            "binarized_segmentation": binarize(probabilities, extent, parameters, excluded).astype(np.uint8),
            "extent": extent,
        },
    )
    source = str(ensembled["probabilities"].attrs.get("data_source", "ensemble"))
    described = contracts.conform(product, "postprocessed", source)
    chosen = parameters.model_dump(include=set(PostprocessParameters.model_fields), exclude_none=True)
    described.attrs = {**ensembled.attrs, **chosen}
    contracts.validate(described, "postprocessed", values=False)
    return described


def looked_at(quality_level: xr.DataArray, parameters: PostprocessParameters) -> xr.DataArray:
    """bool, axes (y, x): True where quality suffices, at a distance from where it does not and from the edge."""
    from darts_core.objects import erode_lazily

    if parameters.quality_level == 0:
        return xr.ones_like(quality_level, dtype=bool).drop_attrs(deep=False)
    edge = parameters.mask_erosion_px if parameters.edge_erosion_px is None else parameters.edge_erosion_px
    good = (quality_level >= parameters.quality_level).drop_attrs(deep=False)
    return erode_lazily(good, parameters.mask_erosion_px) & _inner(good, "y", edge) & _inner(good, "x", edge)


def binarize(
    probabilities: xr.DataArray,
    extent: xr.DataArray,
    parameters: PostprocessParameters,
    excluded: xr.DataArray | None = None,
) -> xr.DataArray:
    """bool, axes (y, x): slump pixels of whole objects that are large enough and not on excluded ground.

    An object is 8-connected (as the polygons are), but 4-connected for its size (as in DARTS).
    """
    from darts_core.objects import erode_lazily, label_objects, runs_of

    slump = probabilities > parameters.threshold
    asked = {"found": slump & extent}
    if parameters.remove_touching and parameters.compat is None:
        known = extent & erode_lazily(probabilities.notnull(), 1)
        asked |= {"whole": slump, "unknown": slump & ~known}
    if excluded is not None:
        asked["excluded"] = slump & extent & excluded
    runs = dict(zip(asked, runs_of(*asked.values()), strict=True))

    found = runs["found"]
    if "whole" in runs:
        whole = label_objects(runs["whole"], connectivity=8)
        found = found.where((whole.count_pixels(runs["unknown"]) == 0)[whole.owners_of(found)])
    parts = label_objects(found, connectivity=4)
    found = found.where((parts.count_pixels() >= parameters.min_object_px)[parts.owners])
    if "excluded" in runs:
        objects = label_objects(found, connectivity=8)
        share = objects.count_pixels(runs["excluded"]) / objects.count_pixels()
        found = found.where((share <= parameters.excluded_share)[objects.owners])
    return found.paint(slump)


def percent(probabilities: xr.DataArray, extent: xr.DataArray) -> xr.DataArray:
    """uint8 0..100, 255 where NaN or beyond the extent; axes (y, x)."""

    def encode(values: np.ndarray, looked: np.ndarray) -> np.ndarray:
        codes = values * np.float32(100)
        np.rint(codes, out=codes)
        np.copyto(codes, 255, where=~looked | np.isnan(codes))
        return codes.astype(np.uint8)

    return pixelwise(encode, probabilities, extent, dtype="uint8")


def _checked(ensembled: xr.Dataset) -> xr.DataArray:
    if "probabilities" not in ensembled:
        raise PostprocessError(
            f"{ensembled.attrs.get('scene', 'The scene')}: expected the variable probabilities, received "
            f"{', '.join(map(str, ensembled.data_vars)) or 'none'}. Make them with darts_core.ensemble"
        )
    return ensembled["probabilities"].drop_attrs(deep=False)


def _aligned(array: xr.DataArray, probabilities: xr.DataArray, what: str, scene: str) -> xr.DataArray:
    """An array with the coordinates and chunks of the probabilities, which may differ in the last digit."""
    if probabilities.sizes != array.sizes or any(
        not np.allclose(probabilities[axis], array[axis], rtol=0, atol=1e-3) for axis in contracts.DIMENSIONS
    ):
        raise PostprocessError(
            f"{scene}: probabilities {dict(probabilities.sizes)} and {what} {dict(array.sizes)} "
            "lie on different grids. Bring the coarser one onto the finer with darts_core.grids.refine"
        )
    placed = array.assign_coords({axis: probabilities[axis] for axis in contracts.DIMENSIONS})
    return placed.chunk(probabilities.chunksizes) if probabilities.chunks else placed.compute()


def _inner(like: xr.DataArray, axis: str, margin: int) -> xr.DataArray:
    """True along one axis except for `margin` pixels at either end."""
    index = np.arange(like.sizes[axis])
    return xr.DataArray((index >= margin) & (index < index.size - margin), dims=axis)
