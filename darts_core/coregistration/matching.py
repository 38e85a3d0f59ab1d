"""How far windows of a scene lie off a reference, and what they agree on: pure functions of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, signal
from skimage.registration import phase_cross_correlation

LEAST_VALID = 0.5
"""Share of a window that must hold data in the scene and in the reference."""

_STEPS = 100
"""Steps of a pixel in which a shift is measured."""
_SETTLED = 1 / _STEPS
_COARSEST = 3
"""Structures are compared up to this many times the finest: above are clouds, light and seasons."""
_CLIPPED = (2, 98)
"""Percentiles to which a window is clipped, lest a few clouds or glints outweigh the rest."""
_RAMP = 8
"""Pixels from where data ends over which it counts less."""
_OUTLIER = 3.0
"""Robust standard deviations from the median within which a window agrees, as far as `_AGREE` lets it."""
_AGREE = (0.15, 1.0)
"""Pixels from the median within which a window always agrees, and beyond which it never does."""


@dataclass(frozen=True, slots=True)
class Match:
    """Where a window of the scene fits the reference."""

    rows: float
    """Pixels by which what is seen in the scene must go down."""
    columns: float
    """Pixels by which it must go right."""
    reliability: float
    """Percent: correlation of both at this shift, of structures of a few pixels."""

    @property
    def length(self) -> float:
        """Pixels."""
        return float(np.hypot(self.rows, self.columns))


def match(scene: np.ndarray, reference: np.ndarray, *, iterations: int, limit: float, detail: float) -> Match | None:
    """The shift at which a window of a scene fits the same window of a reference.

    The peak of their cross-correlation (Guizar-Sicairos et al. 2008, Optics Letters 33, as scikit-image has it) gives
    a first shift; the scene is moved by it and compared again, until nothing is left, so that the window's border,
    which does not move, does not draw the result to zero.

    Args:
        scene: float32, axes (y, x), NaN = no data, with the same margin all around; the margin should hold `limit`.
        reference: float32, axes (y, x), NaN = no data; the window without the margin.
        iterations: how often, at most.
        limit: pixels; the search ends where a shift is larger.
        detail: pixels of the finest structure that both can show; 1 where both have the same resolution.

    Returns:
        The match, of whatever reliability; None where too little holds data in both, or nothing is to be seen.
    """
    margin = (scene.shape[0] - reference.shape[0]) // 2
    inner = (slice(margin, margin + reference.shape[0]), slice(margin, margin + reference.shape[1]))
    held, held_reference = np.isfinite(scene), np.isfinite(reference)
    if (held[inner] & held_reference).mean() < LEAST_VALID:
        return None
    moving, fixed = structure(scene, detail), structure(reference, detail)
    shift, reliability = np.zeros(2), 0.0
    for _ in range(iterations):
        moved = ndimage.shift(moving, shift, order=3, mode="nearest")[inner]
        both = (ndimage.shift(held.astype(np.float32), shift, order=1)[inner] > 0.99) & held_reference
        weight = _taper(both)
        left, right = fixed * weight, moved * weight
        if both.mean() < LEAST_VALID or not left.any() or not right.any():
            return None
        step, error, _ = phase_cross_correlation(left, right, upsample_factor=_STEPS, normalization=None)
        shift += step
        reliability = 100 * float(np.sqrt(max(0.0, 1 - error**2)))
        if np.abs(step).max() < _SETTLED or np.hypot(*shift) > limit:
            break
    return Match(float(shift[0]), float(shift[1]), reliability)


def structure(values: np.ndarray, detail: float) -> np.ndarray:
    """What can be compared between two dates or sensors: structures of one to `_COARSEST` times `detail` pixels.

    Returns:
        float32 of the same shape, 0 where `values` is NaN.
    """
    held = np.isfinite(values)
    low, high = np.percentile(values[held], _CLIPPED)
    if low == high:
        return np.zeros_like(values)
    clipped = np.clip(np.where(held, values, (low + high) / 2), low, high)
    # Gaussians of 0.7 and more cut off what is finer than two pixels, and so between the lines of a grid
    blurred = (ndimage.gaussian_filter(clipped, 0.7 * detail * factor) for factor in (1, _COARSEST))
    return np.where(held, np.subtract(*blurred), 0).astype(np.float32)


def _taper(held: np.ndarray) -> np.ndarray:
    """Weights that fade towards the border and towards what holds no data."""
    rows, columns = (signal.windows.hann(length, sym=False).astype(np.float32) for length in held.shape)
    fade = np.outer(rows, columns)
    if held.all():
        return fade
    return fade * np.minimum(ndimage.distance_transform_edt(held) / _RAMP, 1).astype(np.float32)


def agreement(matches: Sequence[Match]) -> tuple[Match, int] | None:
    """What most of the windows say, and how many of them; None where they do not agree, or there are none.

    Those that lie far from the median are left out; the rest, more than half, are averaged by their reliability.
    """
    if not matches:
        return None
    found = np.array([(each.rows, each.columns, each.reliability) for each in matches])
    distance = np.hypot(*(found[:, :2] - np.median(found[:, :2], axis=0)).T)
    # the median distance from the middle of a normal distribution in the plane is 1.1774 standard deviations
    agreeing = found[distance <= np.clip(_OUTLIER * np.median(distance) / 1.1774, *_AGREE)]
    if 2 * len(agreeing) <= len(found):
        return None
    rows, columns = np.average(agreeing[:, :2], axis=0, weights=np.maximum(agreeing[:, 2], 1e-3))
    return Match(float(rows), float(columns), float(np.median(agreeing[:, 2]))), len(agreeing)
