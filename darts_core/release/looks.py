"""What counts as one look at a place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

ONE_LOOK_S = 600
"""Seconds within which scenes of one sensor are one look."""


def looks_at(place: np.ndarray, sensor: np.ndarray, acquired: np.ndarray) -> np.ndarray:
    """The number of the look that each scene belongs to, 0.. in the order of place, sensor and time.

    At one place, scenes of one sensor that were acquired less than `ONE_LOOK_S` after the first of them are one look:
    neighbouring tiles cut from one datatake, or frames of one strip, show the same ground in the same moment and
    must not count as agreeing with each other. The next pass of a satellite is more than an hour later.

    Args:
        place: (n,) int, what place each scene is seen at.
        sensor: (n,) int, which sensor.
        acquired: (n,) int64, seconds.

    Returns:
        (n,) int64.
    """
    order = np.lexsort((acquired, sensor, place))
    numbers = np.empty(len(place), np.int64)
    number, last, begun = -1, None, 0
    ordered = zip(order.tolist(), place[order].tolist(), sensor[order].tolist(), acquired[order].tolist(), strict=True)
    for row, where, who, when in ordered:
        if last != (where, who) or when - begun >= ONE_LOOK_S:
            number, last, begun = number + 1, (where, who), when
        numbers[row] = number
    return numbers


def seconds(acquired: pd.Series) -> np.ndarray:
    """Times with zone as whole seconds since 1970."""
    import pandas as pd

    return pd.DatetimeIndex(acquired).as_unit("s").asi8
