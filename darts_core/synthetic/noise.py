"""Seeded value noise, a function of world coordinates: the same place has the same value on every grid."""

from __future__ import annotations

import numpy as np

_PRIMES = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D)
_GOLDEN_ANGLE = 2.399963


def value_noise(x: np.ndarray, y: np.ndarray, wavelength: float, seed: int) -> np.ndarray:
    """Smooth noise between -1 and 1.

    Args:
        x: eastings in metres, any shape.
        y: northings in metres, same shape.
        wavelength: distance in metres between lattice points, above 0.
        seed: any integer; other seeds give unrelated noise.

    Returns:
        float32, shape of `x`: random lattice values, interpolated by the quintic `smootherstep`, so that first and
        second derivatives are continuous.
    """
    column, across = _cell(x / wavelength)
    row, along = _cell(y / wavelength)
    west = _mix(_lattice(column, row, seed), _lattice(column, row + 1, seed), along)
    east = _mix(_lattice(column + 1, row, seed), _lattice(column + 1, row + 1, seed), along)
    return _mix(west, east, across)


def _cell(position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    whole = np.floor(position)
    part = (position - whole).astype(np.float32)
    return whole.astype(np.int64), part * part * part * (part * (part * 6 - 15) + 10)


def _lattice(column: np.ndarray, row: np.ndarray, seed: int) -> np.ndarray:
    code = (column * _PRIMES[0] ^ row * _PRIMES[1] ^ (seed * _PRIMES[2] & 0xFFFFFFFF)).astype(np.uint32)
    # two multiply-and-shift rounds, so that neighbouring lattice points are independent
    code = (code ^ (code >> np.uint32(16))) * np.uint32(0x7FEB352D)
    code = (code ^ (code >> np.uint32(15))) * np.uint32(0x846CA68B)
    code ^= code >> np.uint32(16)
    return code.astype(np.float32) / np.float32(2**31) - np.float32(1)


def _mix(start: np.ndarray, end: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return start + (end - start) * weight


def fractal_noise(x: np.ndarray, y: np.ndarray, wavelength: float, octaves: int, seed: int) -> np.ndarray:
    """Octaves of `value_noise`, each of half the wavelength and half the amplitude; float32 in -1..1.

    Each octave is turned by the golden angle, so that the lattices do not show.
    """
    total = np.zeros(np.shape(x), np.float32)
    amplitude, whole = 1.0, 0.0
    for octave in range(octaves):
        cosine, sine = np.cos(octave * _GOLDEN_ANGLE), np.sin(octave * _GOLDEN_ANGLE)
        turned_x, turned_y = x * cosine - y * sine, x * sine + y * cosine
        total += np.float32(amplitude) * value_noise(turned_x, turned_y, wavelength / 2**octave, seed + octave)
        whole += amplitude
        amplitude /= 2
    return total / np.float32(whole)


def smoothstep(low: float | np.ndarray, high: float | np.ndarray, values: np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high`, a cubic ramp between; `low` above `high` turns the ramp round."""
    part = np.clip((values - low) / (high - low), 0.0, 1.0)
    return part * part * (3 - 2 * part)
