"""Whole rasters from their blocks."""

from collections.abc import Iterable

import numpy as np

from darts_core.inference.blocks import Block


def assembled(blocks: Iterable[Block], shape: tuple[int, int]) -> np.ndarray:
    """All pixels (bands, y, x) of a raster of this height and width; fails where one comes twice or never."""
    whole, times = None, np.zeros(shape, int)
    for block in blocks:
        bands, rows, cols = block.data.shape
        if whole is None:
            whole = np.empty((bands, *shape), block.data.dtype)
        place = slice(block.row, block.row + rows), slice(block.col, block.col + cols)
        whole[:, *place] = block.data
        times[place] += 1
    assert (times == 1).all()
    assert whole is not None
    return whole
