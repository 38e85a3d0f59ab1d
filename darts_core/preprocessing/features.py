"""Which variables of the preprocessed product can be asked for, and what each is made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from darts_core import contracts
from darts_core.auxiliary import AuxiliarySources
from darts_core.errors import DartsError
from darts_core.preprocessing.indices import INDICES, index_bands, is_index, near
from darts_core.spectral import catalogue_names

BANDS = tuple(row.name for row in contracts.REFLECTANCE)
"""Reflectance that every preprocessed scene has."""
FURTHER_BANDS = tuple(row.name for row in (*contracts.REFLECTANCE_20M, *contracts.REFLECTANCE_OTHER))
TERRAIN = tuple(row.name for row in contracts.TERRAIN)
TRENDS = tuple(row.name for row in contracts.TRENDS)

DEFAULT_FEATURES = ("ndvi", "relative_elevation", "slope", *TRENDS)
"""What DARTS's models see beside the four bands."""


class FeatureError(DartsError):
    """A feature that is not known, or that cannot be made of what there is."""


@dataclass(frozen=True, slots=True)
class Features:
    """Features by what they are made from, each in the order of the contract."""

    further_bands: tuple[str, ...]
    """Reflectance beyond the four bands that the product holds."""
    indices: tuple[str, ...]
    terrain: tuple[str, ...]
    trends: tuple[str, ...]

    @property
    def read_bands(self) -> tuple[str, ...]:
        """Every band that has to be read, those among them that only indices are made from."""
        of_indices = (band for index in self.indices for band in index_bands(index))
        return tuple(dict.fromkeys((*BANDS, *self.further_bands, *of_indices)))

    @classmethod
    def of(cls, names: Iterable[str]) -> Features:
        """The features of these names; the four bands, which are always there, may be among them.

        Raises:
            FeatureError: an unknown name, with near ones.
            IndexNameError: an index that cannot be computed.
        """
        asked = set(names)
        known = (*BANDS, *FURTHER_BANDS, *INDICES, *TERRAIN, *TRENDS)
        for name in sorted(asked):
            if name in known:
                continue
            if not is_index(name):
                hint = near(name, (*known, *sorted(catalogue_names())))
                raise FeatureError(f"No feature {name!r} can be made of a scene; {hint}")
            index_bands(name)

        def chosen(of_kind: Iterable[str]) -> tuple[str, ...]:
            return tuple(name for name in of_kind if name in asked)

        of_catalogue = sorted(asked - set(known))
        return cls(chosen(FURTHER_BANDS), (*chosen(INDICES), *of_catalogue), chosen(TERRAIN), chosen(TRENDS))


def available(names: Iterable[str], auxiliary: AuxiliarySources) -> list[str]:
    """These names less the features whose source is not configured."""
    gone = (*(TERRAIN if auxiliary.dem is None else ()), *(TRENDS if auxiliary.trends is None else ()))
    return [name for name in names if name not in gone]
