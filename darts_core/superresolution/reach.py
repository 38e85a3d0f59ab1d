"""How far a model looks, measured: what it makes of a window against what it makes of the full frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from darts_core.contracts import REFLECTANCE, VARIABLES
from darts_core.inference.device import resolve_device
from darts_core.inference.seeding import seeded
from darts_core.superresolution.facts import Precision
from darts_core.superresolution.running import Forward, forward_on
from darts_core.superresolution.upscaler import Upscaler
from darts_core.windows import Ramp, axis_weights

DIGITAL_NUMBER = float(REFLECTANCE[0].scale or 1)
"""Reflectance of one step of the product."""

_SIZES = (64, 128)
"""Pixels a side of the windows that are compared, until one is larger than twice the reach."""


def with_measured_reach(upscaler: Upscaler, device: str | torch.device = "cpu") -> Upscaler:
    """The upscaler with its reach and what was measured for it; reach None where no window is large enough."""
    seams: tuple[float, ...] = ()
    for size in (upscaler.window,) if upscaler.window else _SIZES:
        seams = measure_seams(upscaler, window=size, device=device)
        if measured_reach(seams) is not None:
            break
    return replace(upscaler, reach=measured_reach(seams), seams=seams)


def measured_reach(seams: tuple[float, ...]) -> int | None:
    """The first distance from which on the difference stays within half a digital number; None where there is none."""
    beyond = np.flatnonzero(~(np.array(seams) <= DIGITAL_NUMBER / 2))
    first = int(beyond[-1]) + 1 if beyond.size else 0
    return first if first < len(seams) else None


def expected_seam(
    upscaler: Upscaler,
    border: int,
    overlap: int | None = None,
    ramp: Ramp = Ramp.SIGMOID,
    *,
    device: str | torch.device = "cpu",
) -> float:
    """The largest difference from the full frame that blending leaves where windows join, in digital numbers.

    Where water, land and snow meet; over even land it is a fraction of that. Measured here where the model's reach
    was not measured.

    Args:
        border: pixels of the input that are not used at a window's edge.
        overlap: pixels that neighbours share; by default twice the border and 4 more.

    Raises:
        PlanError: an overlap that does not exceed twice the border.
    """
    overlap = 2 * border + 4 if overlap is None else overlap
    seams = np.array(upscaler.seams or measure_seams(upscaler, device=device))
    size = 2 * max(len(seams), overlap)
    offsets = 0, size - overlap
    weights = axis_weights(offsets, size, overlap, border, upscaler.factor, ramp)
    # one window ends where its neighbour begins; elsewhere both are at a scene's outer edge, which makes no seam
    beside = seams[np.arange(size).clip(max=len(seams) - 1)].repeat(upscaler.factor)
    total = np.zeros((offsets[1] + size) * upscaler.factor)
    for offset, weight, error in zip(offsets, weights, (beside[::-1], beside), strict=True):
        total[offset * upscaler.factor :][: len(error)] += weight * error
    return float(total.max()) / DIGITAL_NUMBER


def measure_seams(
    upscaler: Upscaler, *, window: int = _SIZES[0], device: str | torch.device = "cpu"
) -> tuple[float, ...]:
    """The largest difference between a window's prediction and the full frame's, by distance from the window's edge.

    In float32, on three fixed textures, the window at places that no stride of a model fits.

    Args:
        window: pixels a side; a model with a fixed size takes its own.

    Returns:
        Reflectance at distance 0, 1, 2, … pixels of the input from the edge, up to the window's middle.

    Raises:
        UpscalerError: the model fails.
    """
    size = upscaler.window or window
    place = torch.device(resolve_device(str(device)))
    forward = forward_on(replace(upscaler, precision=Precision.FLOAT32), place)
    depth = _distances(size)
    worst = np.zeros(depth.max() + 1)
    for number, frame in enumerate(_textures(upscaler.bands, 2 * size)):
        row, col = size // 2 + number, size // 2 - number
        part = frame[..., row : row + size, col : col + size]
        with seeded(place, 0, number):
            whole = _whole(forward, frame, upscaler)[..., row : row + size, :, col : col + size, :]
            difference = (whole - _by_pixel(forward(part), upscaler.factor)).abs().amax((0, 1, 3, 5))
        np.maximum.at(worst, depth, difference.numpy())
    return tuple(worst.tolist())


def _distances(size: int) -> np.ndarray:
    """Distance of each pixel of a window from the nearest side: int (size, size)."""
    from_side = np.minimum(np.arange(size), np.arange(size)[::-1])
    return np.minimum(from_side[:, None], from_side)


def _by_pixel(fine: torch.Tensor, factor: int) -> torch.Tensor:
    """(batch, bands, y, factor, x, factor) on the CPU: the pixels of the result under each of the input."""
    return fine.cpu().unflatten(-1, (-1, factor)).unflatten(2, (-1, factor))


def _whole(forward: Forward, frame: torch.Tensor, upscaler: Upscaler) -> torch.Tensor:
    """The full frame as `_by_pixel`; made of the middles of windows where the model takes only one size."""
    size, factor = upscaler.window, upscaler.factor
    if size is None:
        return _by_pixel(forward(frame), factor)
    side, margin = frame.shape[-1], size // 4
    whole = torch.zeros(1, len(upscaler.bands_out), side, factor, side, factor)
    inside = slice(margin, size - margin)
    for row in (0, size // 2, size):
        for col in (0, size // 2, size):
            made = _by_pixel(forward(frame[..., row : row + size, col : col + size]), factor)
            whole[:, :, row:, :, col:][:, :, inside, :, inside] = made[:, :, inside, :, inside]
    return whole


def _textures(bands: tuple[str, ...], size: int) -> Iterator[torch.Tensor]:
    """Pseudo-random images, the same each time: tundra, water beside snow, and noise without any correlation.

    float32 (1, bands, size, size): reflectance, or values in the valid range of another variable.
    """
    rng = np.random.default_rng(0)
    common, own = _field(rng, (1, size, size)), _field(rng, (len(bands), size, size))
    tundra = 0.15 + 0.05 * common + 0.02 * own
    snow = np.where(common > 0, 0.9, 0.03) + 0.01 * own
    for image in (tundra, snow, rng.uniform(0, 0.6, own.shape)):
        scaled = [_in_range(name, values) for name, values in zip(bands, image.clip(0, 1), strict=True)]
        yield torch.from_numpy(np.stack(scaled).astype(np.float32))[None]


def _in_range(name: str, values: np.ndarray) -> np.ndarray:
    low, high = VARIABLES[name].valid if VARIABLES[name].bounded else (0, 1)
    return low + values * (high - low)


def _field(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """Fields (band, y, x) of mean 0 and deviation 1, with the power spectrum of land: falling with frequency."""
    rows, cols = np.fft.fftfreq(shape[1])[:, None], np.fft.rfftfreq(shape[2])
    frequency = np.hypot(rows, cols)
    frequency[0, 0] = np.inf
    fields = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(shape)) * frequency**-1.5, shape[1:])
    return (fields - fields.mean()) / fields.std()
