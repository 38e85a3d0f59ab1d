"""The pixel grid of a scene in the world, as one immutable value; and functions of its pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from darts_core.errors import DartsError

if TYPE_CHECKING:
    from affine import Affine
    from rasterio.crs import CRS


class GridError(DartsError):
    """A dataset does not say where its pixels lie, or lies on a grid that a step cannot work on."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the pixels of a raster lie."""

    crs: CRS
    transform: Affine
    """From (column, row) of pixel corners to the world; (0, 0) is the outer corner of the first pixel."""
    height: int
    """Rows."""
    width: int
    """Columns."""

    @classmethod
    def of(cls, dataset: xr.Dataset | xr.DataArray) -> Grid:
        """The grid of a dataset with axes (y, x).

        Raises:
            GridError: no axes y and x, no CRS, or nothing that places the pixels in it.
        """
        import rioxarray  # noqa: F401  (registers the .rio accessor)

        name = dataset.attrs.get("scene", "the dataset")
        if "y" not in dataset.sizes or "x" not in dataset.sizes:
            raise GridError(f"{name}: expected the axes y and x, received {tuple(dataset.sizes)}")
        if dataset.rio.crs is None:
            raise GridError(
                f"{name} has no CRS, so nobody knows where it lies. Assign the one it was made in "
                "(gdal_edit.py -a_srs EPSG:… on the file) and register it again"
            )
        transform = dataset.rio.transform()
        if transform.is_identity:
            # rioxarray's answer to "nowhere", and to a single row or column without a stored transform
            raise GridError(
                f"{name}: expected coordinates y and x of at least two pixels each, or a GeoTransform in spatial_ref; "
                "received neither. Read it with its georeferencing, or call .rio.write_transform"
            )
        return cls(dataset.rio.crs, transform, dataset.sizes["y"], dataset.sizes["x"])

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.height, self.width

    @property
    def resolution(self) -> tuple[float, float]:
        """Size of a pixel along (y, x) in units of the CRS, both positive."""
        a, b, _, d, e, _ = tuple(self.transform)[:6]
        return float(np.hypot(b, e)), float(np.hypot(a, d))

    def metres(self) -> tuple[float, float]:
        """Size of a pixel along (y, x) in metres.

        Raises:
            GridError: a geographic CRS, whose pixels have no one size in metres.
        """
        if not self.crs.is_projected:
            raise GridError(
                f"Expected a projected CRS, received {self.crs.to_string()}: terrain is measured in metres. "
                "Reproject the scene (UTM or EPSG:3413) first"
            )
        metres_per_unit = self.crs.linear_units_factor[1]
        height, width = self.resolution
        return height * metres_per_unit, width * metres_per_unit

    def grown(self, rows: int, columns: int) -> Grid:
        """The grid with `rows` more above and below, and `columns` more left and right."""
        from affine import Affine

        return Grid(
            self.crs,
            self.transform @ Affine.translation(-columns, -rows),
            self.height + 2 * rows,
            self.width + 2 * columns,
        )

    def coordinates(self) -> dict[str, xr.DataArray]:
        """Coordinates y and x of the pixel centres (grids whose axes follow the CRS), and spatial_ref."""
        import rioxarray  # noqa: F401

        a, _, left, _, e, top = tuple(self.transform)[:6]
        x = left + (np.arange(self.width) + 0.5) * a
        y = top + (np.arange(self.height) + 0.5) * e
        empty = xr.Dataset(coords={"y": ("y", y), "x": ("x", x)}).rio.write_crs(self.crs)
        return dict(empty.rio.write_transform(self.transform).coords)


def pixelwise(function: Callable[..., Any], *arrays: xr.DataArray, dtype: str) -> xr.DataArray:
    """A function of the values of arrays on one grid, pixel by pixel: lazy where they are, without their attributes.

    xarray's own `keep_attrs=False` also empties the coordinates, and with `spatial_ref` the CRS is lost.
    """
    result = xr.apply_ufunc(function, *arrays, dask="parallelized", output_dtypes=[np.dtype(dtype)], keep_attrs=True)
    return result.drop_attrs(deep=False)


def refine(array: xr.DataArray, like: xr.Dataset | xr.DataArray) -> xr.DataArray:
    """Classes or masks on a finer grid: each pixel is repeated, none is invented. Lazy where the array is.

    Args:
        array: any dtype, axes (y, x).
        like: what lies on the finer grid, which covers the same area with a whole number of pixels for each.

    Returns:
        The same dtype, attributes and nodata, on the grid of `like`.

    Raises:
        GridError: the grids do not cover the same area, or not by whole pixels.
    """
    coarse, fine = Grid.of(array), Grid.of(like)
    factor = fine.height // coarse.height
    expected = coarse.transform @ _scaling(1 / max(factor, 1))
    fits = fine.shape == (coarse.height * factor, coarse.width * factor) and fine.crs == coarse.crs
    # a thousandth of a pixel at the far corner: coordinates are rounded when they are stored
    if not fits or not expected.almost_equals(fine.transform, precision=1e-3 * max(fine.resolution)):
        raise GridError(
            f"Expected a grid that divides {coarse.height} x {coarse.width} pixels at {tuple(coarse.transform)[:6]} "
            f"into whole ones, received {fine.height} x {fine.width} at {tuple(fine.transform)[:6]}"
        )
    placed = {axis: like[axis] for axis in ("y", "x", "spatial_ref") if axis in like.coords}
    repeated = array.data.repeat(factor, axis=0).repeat(factor, axis=1)
    refined = xr.DataArray(repeated, placed, ("y", "x"), array.name, array.attrs)
    # the nodata of floats, as rioxarray keeps it
    refined.encoding = {key: value for key, value in array.encoding.items() if key == "_FillValue"}
    return refined


def on_finest_grid(datasets: Sequence[xr.Dataset]) -> xr.Dataset:
    """Rasters of one place as one dataset, each refined to the grid with the most pixels.

    Raises:
        GridError: the grids do not cover the same area, or not by whole pixels.
    """
    finest = max(datasets, key=lambda dataset: dataset.sizes["y"] * dataset.sizes["x"])
    arrays = {name: refine(array, finest) for dataset in datasets for name, array in dataset.data_vars.items()}
    return finest.assign(arrays)


def _scaling(factor: float) -> Affine:
    from affine import Affine

    return Affine.scale(factor)
