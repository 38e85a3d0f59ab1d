"""Calibration: a temperature for logits, so that of pixels with probability 0.7 seven in ten are slumps.

Guo et al., On Calibration of Modern Neural Networks, ICML 2017: one number, fitted on data that training did not see;
it changes no ranking and no decision at 0.5.
"""

from __future__ import annotations

import numpy as np

from darts_core.errors import DartsError

BOUNDS = (0.05, 20.0)
"""Between these a temperature is looked for."""


class CalibrationError(DartsError):
    """Held-out pixels that say nothing about probabilities."""


def fit_temperature(logits: np.ndarray, truth: np.ndarray, valid: np.ndarray | None = None) -> float:
    """The temperature with the least cross-entropy on held-out pixels.

    Args:
        logits: float, any shape: what the network gave, not yet divided by a temperature.
        truth: bool or 0 and 1, of the same shape; True = slump.
        valid: bool, of the same shape, True = counts; by default wherever the logit is a number.

    Returns:
        Within `BOUNDS`; below 1 the network was too careful, above 1 too sure.

    Raises:
        CalibrationError: another shape, or pixels of one class only.
    """
    from scipy.optimize import minimize_scalar

    if logits.shape != truth.shape or (valid is not None and valid.shape != logits.shape):
        raise CalibrationError(
            f"Expected truth and mask of the shape of the logits, {logits.shape}; received {truth.shape}"
            f"{'' if valid is None else f' and {valid.shape}'}"
        )
    kept = np.isfinite(logits) if valid is None else valid.astype(bool) & np.isfinite(logits)
    values, slump = logits[kept].astype(np.float64), truth[kept].astype(bool)
    if slump.all() or not slump.any():
        raise CalibrationError(
            f"Expected held-out pixels with and without slumps; received {int(slump.sum())} of {slump.size} with. "
            "Take scenes that hold both"
        )
    signed = np.where(slump, values, -values)

    def cross_entropy(temperature: float) -> float:
        return float(np.logaddexp(0, -signed / np.exp(temperature)).mean())

    low, high = np.log(BOUNDS)
    return float(np.exp(minimize_scalar(cross_entropy, bounds=(low, high), method="bounded").x))
