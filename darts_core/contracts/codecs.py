"""One variable of a product: its meaning and its codecs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from darts_core.errors import DartsError

DIMENSIONS = ("y", "x")


class ContractError(DartsError):
    """A dataset departs from its product's contract; the message lists every departure."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One row of the table: a variable with axes (y, x)."""

    name: str
    """Name in the dataset; a trailing ``*`` stands for any suffix (one variable a model)."""
    long_name: str
    disk: str
    """dtype on disk."""
    memory: str
    """dtype in memory; float32 has NaN for nodata."""
    valid: tuple[float, float]
    """Physical range (lo, hi), both included: what a model scales to 0..1."""
    nodata: float | None = None
    """Nodata on disk, and in memory where both dtypes are the same; None where every value counts."""
    scale: float | None = None
    """physical = code * scale + offset; None where the code is the physical value."""
    offset: float | None = None
    units: str | None = None
    """UDUNITS name; None for masks and classes."""
    bounded: bool = True
    """Whether nothing lies beyond `valid`; reflectance does (snow, glint), and ratios do, and keep their value."""
    required: bool = True

    @property
    def packed(self) -> bool:
        """Whether codes on disk differ from values in memory."""
        return self.scale is not None

    @property
    def codes(self) -> tuple[int, int]:
        """The smallest and largest code on disk that is not nodata (packed variables only)."""
        if self.scale is None or self.offset is None:
            raise ContractError(f"{self.name} is stored as it is; it has no codes")
        lowest = 1 if self.nodata == 0 else 0
        highest = round((self.valid[1] - self.offset) / self.scale) if self.bounded else np.iinfo(self.disk).max
        return lowest, int(highest)

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Physical float values (NaN = nodata) as codes of the disk dtype; beyond the codes is clipped."""
        if not self.packed or self.nodata is None:
            return values.astype(self.disk, copy=False)
        codes = (values.astype(np.float32, copy=False) - np.float32(self.offset)) / np.float32(self.scale)
        np.rint(codes, out=codes)
        np.clip(codes, *self.codes, out=codes)
        return np.where(np.isnan(codes), self.nodata, codes).astype(self.disk)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Codes of the disk dtype as physical values of the memory dtype, NaN where nodata."""
        if not self.packed:
            return codes.astype(self.memory, copy=False)
        values = codes * np.float32(self.scale) + np.float32(self.offset)
        values[codes == self.nodata] = np.nan
        return values

    def normalize(self, values: np.ndarray) -> np.ndarray:
        """Physical values as model input: float32 in 0..1, 0 where NaN."""
        return rescale(values, self.valid)


def rescale(values: np.ndarray, span: tuple[float, float], *, clip: bool = True) -> np.ndarray:
    """`values` as float32 shares of the way from one end of `span` to the other, 0 where NaN; clipped to 0..1."""
    low, high = span
    scaled = values.astype(np.float32, copy=False) - np.float32(low)
    scaled /= np.float32(high - low)
    np.nan_to_num(scaled, copy=False, nan=0.0, posinf=np.inf, neginf=-np.inf)
    return np.clip(scaled, 0.0, 1.0, out=scaled) if clip else scaled
