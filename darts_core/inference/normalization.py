"""How physical values become model input: a frozen value that belongs to a model, for it was trained on such input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType

import numpy as np
from pydantic import BaseModel, ConfigDict, model_validator

from darts_core.contracts import REFLECTANCE, VARIABLES, rescale
from darts_core.errors import DartsError


class NormalizationError(DartsError):
    """Factors that make no input of a band, or of a band that has no digital numbers."""


class Scheme(StrEnum):
    """Where the ranges of a `Normalization` come from."""

    CONTRACT = "contract"
    """The valid range of each variable, as DARTS has normalised since its table of bands."""
    DIVISORS = "divisors"
    """One divisor a band for digital numbers, not clipped: DARTS's first models and those of its predecessor."""
    FACTORS = "factors"
    """A factor and an offset a band for digital numbers, clipped: DARTS's models between the two."""


DIGITAL_NUMBERS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        **{row.name: (1e4, 0.0) for row in REFLECTANCE},
        "ndvi": (1e4, 1e4),
        "relative_elevation": (300.0, 15_000.0),
        "slope": (1.0, 0.0),
        "tc_brightness": (1.0, 0.0),
        "tc_greenness": (1.0, 0.0),
        "tc_wetness": (1.0, 0.0),
    }
)
"""What early DARTS trained on: digital number = physical value * factor + offset, such as (ndvi + 1) * 1e4."""

DIVISORS: Mapping[str, float] = MappingProxyType(
    {
        **{row.name: 3000.0 for row in REFLECTANCE},
        "ndvi": 20_000.0,
        "relative_elevation": 30_000.0,
        "slope": 90.0,
        "tc_brightness": 255.0,
        "tc_greenness": 255.0,
        "tc_wetness": 255.0,
    }
)
"""The divisors of thaw-slump-segmentation for these digital numbers."""


class Normalization(BaseModel):
    """Per band, the physical values that become 0 and 1 in the model's input; NaN becomes 0."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scheme: Scheme
    spans: tuple[tuple[float, float], ...]
    """(low, high) a band, in the order of the model's input: input = (value - low) / (high - low)."""
    clip: bool
    """Whether what lies beyond becomes 0 or 1."""

    @model_validator(mode="after")
    def _is_finite(self) -> Normalization:
        bad = [span for span in self.spans if not np.isfinite(span).all() or span[0] == span[1]]
        if bad:
            raise ValueError(f"A span goes from one finite value to another; received {bad[0]}")
        return self

    @classmethod
    def contract(cls, bands: Sequence[str]) -> Normalization:
        """The valid ranges of the contract as they are today.

        Raises:
            KeyError: a band that the contract does not have.
        """
        return cls(scheme=Scheme.CONTRACT, spans=tuple(VARIABLES[band].valid for band in bands), clip=True)

    @classmethod
    def divisors(cls, bands: Sequence[str], factors: Mapping[str, float] = DIVISORS) -> Normalization:
        """That of models trained on digital numbers.

        Args:
            factors: one a band. Checkpoints hold 3000 or 1/3000 for the same thing: what is above 1 divides, the
                rest multiplies, for no digital number is meant to grow.

        Raises:
            NormalizationError: a band without factor or digital numbers, or a factor that is not positive.
        """
        lacking = [band for band in bands if band not in factors]
        if lacking:
            raise NormalizationError(f"Expected a factor for each band; there is none for {', '.join(lacking)}")
        chosen = [factors[band] for band in bands]
        multipliers = [1 / factor if factor > 1 else factor for factor in chosen]
        return cls(scheme=Scheme.DIVISORS, spans=_spans(bands, multipliers, [0.0] * len(bands)), clip=False)

    @classmethod
    def factors(cls, bands: Sequence[str], factors: Sequence[float], offsets: Sequence[float]) -> Normalization:
        """That of models trained on digital numbers * factor + offset, clipped to 0..1.

        Raises:
            NormalizationError: as for `divisors`, or another number of factors or offsets than of bands.
        """
        if not len(bands) == len(factors) == len(offsets):
            raise NormalizationError(
                f"Expected a factor and an offset for each of {len(bands)} bands; received {len(factors)} factors and "
                f"{len(offsets)} offsets"
            )
        return cls(scheme=Scheme.FACTORS, spans=_spans(bands, factors, offsets), clip=True)

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Physical values (bands, y, x) in the order of `spans` as model input, float32.

        In memory the bands of a pixel lie side by side, as models want them.
        """
        made = np.empty((*values.shape[1:], len(values)), np.float32).transpose(2, 0, 1)
        for target, band, span in zip(made, values, self.spans, strict=True):
            target[...] = rescale(band, span, clip=self.clip)
        return made


def _spans(bands: Sequence[str], factors: Sequence[float], offsets: Sequence[float]) -> tuple[tuple[float, float], ...]:
    """The physical values whose digital numbers * factor + offset are 0 and 1."""
    unknown = [band for band in bands if band not in DIGITAL_NUMBERS]
    if unknown:
        raise NormalizationError(
            f"No digital numbers are known for {', '.join(unknown)}; expected {', '.join(DIGITAL_NUMBERS)}"
        )
    bad = [(band, factor) for band, factor in zip(bands, factors, strict=True) if not factor > 0]
    if bad:
        raise NormalizationError(f"The factor of {bad[0][0]} is {bad[0][1]}; expected one above 0")
    spans = []
    for band, factor, offset in zip(bands, factors, offsets, strict=True):
        scale, shift = DIGITAL_NUMBERS[band]
        low, high = ((end - offset - shift * factor) / (scale * factor) for end in (0.0, 1.0))
        spans.append((low, high))
    return tuple(spans)
