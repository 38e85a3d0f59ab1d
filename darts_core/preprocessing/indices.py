"""Spectral indices of surface reflectance."""

from __future__ import annotations

import numpy as np


def ndvi(red: np.ndarray, nir: np.ndarray) -> np.ndarray:
    """Normalized difference vegetation index, (nir - red) / (nir + red), Rouse et al. 1974.

    Args:
        red: reflectance, float32, NaN = nodata; clipped to 0..1 first, as atmospheric correction overshoots.
        nir: as `red`, same shape.

    Returns:
        float32 in -1..1; NaN where either is nodata, and where both are 0.
    """
    red, nir = np.clip(red, 0, 1), np.clip(nir, 0, 1)
    total = nir + red
    return np.divide(nir - red, total, out=np.full_like(total, np.nan), where=total > 0)
