"""A mosaic warped onto a scene's grid, block by block: each block reads the part of the mosaic that it needs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from darts_core.auxiliary.mosaic import Mosaic, horizontal, lattice_points, step, window
from darts_core.auxiliary.strips import TRANSFORM_ERROR, read_strips, strips_around
from darts_core.grids import Grid

if TYPE_CHECKING:
    from affine import Affine
    from rasterio.crs import CRS


@dataclass(frozen=True, slots=True)
class Frame:
    """The part of a mosaic that a scene needs, the same for every block, so that blocks leave no trace."""

    mosaic: Mosaic
    rows: slice
    cols: slice
    """Of the mosaic's lattice."""
    steps: tuple[float, float]
    """Source pixels to one of the target along (y, x)."""

    @classmethod
    def of(cls, mosaic: Mosaic, grid: Grid) -> Frame:
        """The frame of a grid."""
        steps = step(mosaic, grid)
        return cls(mosaic, *window(lattice_points(mosaic, grid), steps), steps)

    @property
    def place(self) -> tuple[CRS, Affine]:
        """A CRS, and from (column, row) in the frame to the world in it."""
        from affine import Affine

        placed = self.mosaic.transform @ Affine.translation(self.cols.start, self.rows.start)
        if self.mosaic.turn is None:
            return self.mosaic.crs, placed
        half = abs(placed.a) * (self.cols.stop - self.cols.start) / 2
        middle = placed.c + placed.a * (self.cols.stop - self.cols.start) / 2
        turned = (middle + 180) % 360 - 180
        if abs(turned) + half <= 180:
            return self.mosaic.crs, Affine.translation(turned - middle, 0) @ placed
        return _counted_from_180(self.mosaic.crs), Affine.translation(turned % 360 - 180 - middle, 0) @ placed


def _counted_from_180(crs: CRS) -> CRS:
    """A geographic CRS whose longitudes are 0 at the antimeridian: GDAL knows none beyond it."""
    from pyproj import CRS as ProjCRS
    from rasterio.crs import CRS

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # on what PROJ's text cannot say, which is nothing of degrees
        text = ProjCRS.from_user_input(crs).to_proj4()
    return CRS.from_string(f"{text.replace('+type=crs', '')} +pm=180")


def lazily(
    frames: Sequence[Frame], bands: Sequence[int], grid: Grid, chunks: tuple[tuple[int, ...], ...], origin: int = 0
) -> Any:
    """Bands (from 1) on the grid as a dask array, axes (band, y, x), float32, NaN where no mosaic holds data.

    Where several mosaics hold data the first is taken. Bilinear; where the target is coarser, averaged by as much.

    Args:
        origin: column of the grid at which the scene begins, from which strips are counted.
    """
    import dask.array as da

    # block_info gives map_blocks' function its place in the grid; it needs no input array
    return da.map_blocks(
        _block,
        frames=tuple(frames),
        bands=tuple(bands),
        grid=grid,
        origin=origin,
        chunks=((len(bands),), *chunks),
        dtype=np.float32,
        meta=np.empty((0, 0, 0), np.float32),
    )


def _block(
    frames: tuple[Frame, ...], bands: tuple[int, ...], grid: Grid, origin: int, block_info: Any = None
) -> np.ndarray:
    _, (top, bottom), (left, right) = block_info[None]["array-location"]
    part = slice(top, bottom), slice(left, right)
    values = _warped(frames[0], bands, grid, part, origin)
    for frame in frames[1:]:
        missing = np.isnan(values)
        if not missing.any():
            break
        np.copyto(values, _warped(frame, bands, grid, part, origin), where=missing)
    return values


def _warped(frame: Frame, bands: tuple[int, ...], grid: Grid, part: tuple[slice, slice], origin: int) -> np.ndarray:
    """One mosaic on some rows and columns of the grid."""
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.vrt import WarpedVRT

    points = lattice_points(frame.mosaic, grid, (part[0], strips_around(part[1], grid.width, origin)))
    rows, cols = window(points, frame.steps, (frame.rows, frame.cols))
    numbers = frame.mosaic.read(bands, rows, cols)
    missing = np.isnan(numbers)
    if missing.all():
        return np.full((len(bands), *(axis.stop - axis.start for axis in part)), np.nan, np.float32)
    # GDAL is twice as fast where it need not ask what is missing, and gives the same bits
    nodata = np.nan if missing.any() else None
    with (
        rasterio.MemoryFile(_geotiff(numbers)) as memory,
        rasterio.open(_placed(frame, memory.name, len(bands), rows, cols, nodata)) as source,
        WarpedVRT(
            source,
            crs=horizontal(grid.crs),
            transform=grid.transform,
            height=grid.height,
            width=grid.width,
            resampling=Resampling.bilinear,
            src_nodata=nodata,
            nodata=nodata,
            dtype="float32",
            tolerance=TRANSFORM_ERROR,
            # GDAL would estimate them anew for every block, and the values would depend on how the scene is cut
            YSCALE=min(1.0, 1 / frame.steps[0]),
            XSCALE=min(1.0, 1 / frame.steps[1]),
        ) as warped,
    ):
        return read_strips(warped, list(warped.indexes), *part, origin)


def _geotiff(numbers: np.ndarray) -> bytes:
    """A window in memory, as a file that a VRT can name."""
    import rasterio
    from affine import Affine

    count, height, width = numbers.shape
    with rasterio.MemoryFile() as memory:
        # the VRT says where it lies; rasterio warns of a file that lies nowhere
        nowhere = Affine(1, 0, 1, 0, -1, 1)
        with memory.open(
            driver="GTiff", count=count, height=height, width=width, dtype="float32", transform=nowhere
        ) as target:
            target.write(numbers)
        return bytes(memory.getbuffer())


def _placed(frame: Frame, name: str, bands: int, rows: slice, cols: slice, nodata: float | None) -> str:
    """A VRT of the whole frame with data in one window: GDAL then places every block alike, to the last bit."""
    from xml.sax.saxutils import escape

    height, width = rows.stop - rows.start, cols.stop - cols.start
    size = f'xSize="{width}" ySize="{height}"'
    place = f'xOff="{cols.start - frame.cols.start}" yOff="{rows.start - frame.rows.start}"'
    of_band, of_source = ("", "") if nodata is None else ("<NoDataValue>nan</NoDataValue>", "<NODATA>nan</NODATA>")
    layers = "".join(
        f'<VRTRasterBand dataType="Float32" band="{band}">{of_band}<ComplexSource>'
        f"<SourceFilename>{escape(name)}</SourceFilename><SourceBand>{band}</SourceBand>"
        f'<SrcRect xOff="0" yOff="0" {size}/><DstRect {place} {size}/>{of_source}'
        "</ComplexSource></VRTRasterBand>"
        for band in range(1, bands + 1)
    )
    crs, transform = frame.place
    return (
        f'<VRTDataset rasterXSize="{frame.cols.stop - frame.cols.start}" '
        f'rasterYSize="{frame.rows.stop - frame.rows.start}"><SRS>{escape(crs.to_wkt())}</SRS>'
        f"<GeoTransform>{', '.join(repr(float(part)) for part in transform.to_gdal())}</GeoTransform>"
        f"{layers}</VRTDataset>"
    )
