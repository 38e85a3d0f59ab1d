"""Small pictures of products, as data URIs that fit into metadata: what a person looks at first."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    import geopandas as gpd

SIDE = 360
"""Pixels of the longer side."""
BUDGET = 20_000
"""Bytes of one picture; larger metadata freezes the dialogs that show it."""

RGB = ("red", "green", "blue")
_HEAT = np.array([(18, 20, 46), (64, 32, 110), (150, 44, 105), (226, 92, 60), (250, 180, 60), (252, 250, 190)], float)
_EMPTY = (232, 236, 240)
_SLUMP = (255, 222, 60)
_FOUND = (70, 160, 255)


def true_colour(dataset: xr.Dataset) -> str:
    """Red, green and blue (y, x) of any unit, stretched over what most of the scene holds; NaN is grey."""
    values = _colours(_decimate(dataset[list(RGB)]), RGB)
    return data_uri(_stretched(values, _limits(values)))


def thumbnail(dataset: xr.Dataset, slumps: gpd.GeoDataFrame, side: int) -> Image.Image:
    """True colour as `true_colour` shows it, of at most `side` pixels a side, with the outlines of slumps on it.

    Args:
        dataset: red, green and blue (y, x) of any unit, on a grid.
        slumps: polygons in any CRS.
    """
    from darts_core.grids import Grid

    values = _colours(_decimate(dataset[list(RGB)], side), RGB)
    image = _stretched(values, _limits(values))
    grid = Grid.of(dataset)
    a, b, c, d, e, f = tuple(~grid.transform)[:6]
    across, down = image.width / grid.width, image.height / grid.height
    shapes = slumps.to_crs(grid.crs).affine_transform(
        (a * across, b * across, d * down, e * down, c * across, f * down)
    )
    draw = ImageDraw.Draw(image)
    for polygon in shapes.explode(index_parts=False):
        for ring in (polygon.exterior, *polygon.interiors):
            draw.line(list(ring.coords), fill=_SLUMP)
    return image


def pair(coarse: xr.Dataset, fine: xr.Dataset) -> tuple[Image.Image, Image.Image]:
    """One place at two resolutions, as two images of one size under one stretch; NaN is grey.

    Args:
        coarse: physical values (y, x), red, green and blue where it has them, else its first three bands.
        fine: the same bands, each pixel of `coarse` as factor x factor of its own.
    """
    names = [str(name) for name in coarse.data_vars]
    bands = RGB if set(RGB) <= set(names) else (names * 3)[:3]
    low, high = (_colours(dataset, bands) for dataset in (coarse, fine))
    limits = _limits(low)
    blown_up = _stretched(low, limits).resize((high.shape[1], high.shape[0]), Image.Resampling.NEAREST)
    return blown_up, _stretched(high, limits)


def heat(array: xr.DataArray, low: float, high: float) -> str:
    """One band (y, x) from dark (`low`) to bright (`high`); NaN is grey."""
    values = _decimate(array).values.astype(np.float32)
    missing = np.isnan(values)
    position = np.nan_to_num((values - low) / (high - low)).clip(0, 1) * (len(_HEAT) - 1)
    colours = np.stack([np.interp(position, range(len(_HEAT)), _HEAT[:, i]) for i in range(3)], axis=-1)
    return data_uri(_painted(colours, missing))


def outlines(frame: gpd.GeoDataFrame, bounds: Sequence[float] | None = None) -> str:
    """Polygons as filled outlines on a plain ground, over `bounds` (left, bottom, right, top) in their CRS."""
    left, bottom, right, top = bounds if bounds is not None else _padded(frame)
    scale = SIDE / max(right - left, top - bottom)
    image = Image.new("RGB", (max(1, round((right - left) * scale)), max(1, round((top - bottom) * scale))), _EMPTY)
    draw = ImageDraw.Draw(image)
    for polygon in frame.geometry.explode(index_parts=False):
        ring = [((x - left) * scale, (top - y) * scale) for x, y, *_ in polygon.exterior.coords]
        draw.polygon(ring, fill=(226, 92, 60), outline=(120, 30, 30))
    return data_uri(image)


def contact_sheet(
    images: Sequence[np.ndarray] | np.ndarray,
    masks: np.ndarray | None,
    bands: Sequence[str],
    columns: int = 4,
    *,
    found: np.ndarray | None = None,
) -> str:
    """Patches side by side, each under its own stretch, with what is true outlined; what is to be ignored is grey.

    Args:
        images: (patch, band, y, x) of any unit, NaN where there is no data.
        masks: (patch, y, x): 1 slump, 0 none, anything else to be ignored; None where nothing is known.
        bands: names of the bands; red, green and blue, else the first three.
        columns: patches side by side.
        found: bool (patch, y, x), what a model takes for slumps; outlined in blue, the truth in yellow upon it.
    """
    named = [list(bands).index(name) for name in RGB] if set(RGB) <= set(bands) else (list(range(len(bands))) * 3)[:3]
    side = SIDE // columns
    sheet = Image.new("RGB", (side * columns, side * -(-len(images) // columns)), _EMPTY)
    for number, image in enumerate(images):
        values = np.moveaxis(image[named].astype(np.float32), 0, -1)
        if masks is not None:
            values = np.where(masks[number][..., None] > 1, np.nan, values)
        size = (side - 2, side - 2)
        tile = np.array(_stretched(values, _limits(values)).resize(size, Image.Resampling.BOX))
        if found is not None:
            tile[_rim(found[number], size)] = _FOUND
        if masks is not None:
            tile[_rim(masks[number] == 1, size)] = _SLUMP
        sheet.paste(Image.fromarray(tile), (number % columns * side, number // columns * side))
    return data_uri(sheet)


def _rim(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The outermost pixels of what a mask (y, x) marks, of a picture of another size (width, height)."""
    marked = np.pad(np.array(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST)), 1, mode="edge")
    inner = marked[:-2, 1:-1] & marked[2:, 1:-1] & marked[1:-1, :-2] & marked[1:-1, 2:]
    return marked[1:-1, 1:-1] & ~inner


def histogram(counts: np.ndarray) -> str:
    """Bars of equal width, on a logarithmic height so that a rare class shows."""
    height, width = 120, SIDE
    tops = np.log1p(counts) / max(np.log1p(counts).max(), 1e-9) * (height - 4)
    image = Image.new("RGB", (width, height), _EMPTY)
    draw = ImageDraw.Draw(image)
    step = width / len(counts)
    for place, top in enumerate(tops):
        if top > 0:
            draw.rectangle((place * step, height - top, (place + 1) * step - 1, height), fill=(64, 32, 110))
    return data_uri(image)


def data_uri(image: Image.Image) -> str:
    """`image` as a WebP data URI of at most `BUDGET` bytes; quality gives way first, then size.

    What is drawn in few colours is kept exactly where it fits: lossy WebP takes the colour from small marks.
    """
    drawn = image.convert("RGB").getcolors(1024) is not None
    ways: list[dict[str, int]] = [{"lossless": 1}] if drawn else []
    for how in (*ways, *({"quality": part} for part in (85, 70, 50, 30, 15))):
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", **how)
        if buffer.tell() * 4 / 3 < BUDGET:
            return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
    return data_uri(image.resize((max(1, image.width // 2), max(1, image.height // 2))))


def _decimate(data, side=SIDE):  # type: ignore[no-untyped-def]
    step = max(1, -(-max(data.sizes["y"], data.sizes["x"]) // side))
    return data.isel(y=slice(step // 2, None, step), x=slice(step // 2, None, step)).compute()


def _colours(dataset: xr.Dataset, bands: Sequence[str]) -> np.ndarray:
    """Three bands as float32 (y, x, 3), NaN in all three where one of them holds no data."""
    values = np.stack([dataset[name].values.astype(np.float32) for name in bands], axis=-1)
    nodata = [dataset[name].attrs.get("_FillValue") for name in bands]
    missing = np.isnan(values).any(-1) | np.stack([values[..., i] == n for i, n in enumerate(nodata)]).any(0)
    values[missing] = np.nan
    return values


def _limits(values: np.ndarray) -> tuple[float, float]:
    """What is to be black and what white."""
    if np.isnan(values).all():
        return 0.0, 1.0
    low, middle, high = np.nanpercentile(values, (2, 50, 98))
    # clouds and snow would leave nothing but black of the ground
    return float(low), float(min(high, low + 4 * (middle - low)) if middle > low else high)


def _stretched(values: np.ndarray, limits: tuple[float, float]) -> Image.Image:
    """Colours (y, x, 3) as an image, grey where they are NaN."""
    low, high = limits
    colours = np.nan_to_num((values - low) / max(high - low, 1e-9)).clip(0, 1) * 255
    return _painted(colours, np.isnan(values).any(-1))


def _painted(colours: np.ndarray, missing: np.ndarray) -> Image.Image:
    return Image.fromarray(np.where(missing[..., None], _EMPTY, colours).astype(np.uint8))


def _padded(frame: gpd.GeoDataFrame) -> tuple[float, float, float, float]:
    if frame.empty:
        return (0.0, 0.0, 1.0, 1.0)
    left, bottom, right, top = map(float, frame.total_bounds)
    margin = 0.05 * max(right - left, top - bottom)
    return (left - margin, bottom - margin, right + margin, top + margin)
