"""Spectral indices of surface reflectance: those of DARTS, and every index of the spyndex catalogue.

DARTS's are named in lower case (``ndvi``), those of the catalogue as they are there (``NDWI``); where both know an
index by one name, as ``grvi`` and ``GRVI``, they need not be the same formula.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from darts_core.errors import DartsError
from darts_core.spectral import CatalogueIndex, catalogue_index, catalogue_names


class IndexNameError(DartsError):
    """No index of this name, or one that cannot be computed from reflectance."""


@dataclass(frozen=True, slots=True)
class _Index:
    bands: tuple[str, ...]
    """Bands that the formula takes, in its order."""
    formula: Callable[..., np.ndarray]
    clipped: bool = True
    """Whether reflectance is clipped to 0..1 first, as atmospheric correction overshoots."""


def _normalized_difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a - b) / (a + b)


def _nrvi(red: np.ndarray, nir: np.ndarray) -> np.ndarray:
    ratio = red / nir
    return (ratio - 1) / (ratio + 1)


def _ctvi(nir: np.ndarray, red: np.ndarray) -> np.ndarray:
    shifted = _normalized_difference(nir, red) + np.float32(0.5)
    size = np.abs(shifted)
    return shifted / size * np.sqrt(size)


def _green_leaf(green: np.ndarray, red: np.ndarray, blue: np.ndarray) -> np.ndarray:
    return (2 * green - red - blue) / (2 * green + red + blue)


_DARTS: Mapping[str, _Index] = MappingProxyType(
    {
        # Rouse et al. 1974, Third ERTS Symposium, NASA SP-351
        "ndvi": _Index(("nir", "red"), _normalized_difference),
        # Gitelson et al. 1996, Remote Sensing of Environment 58
        "gndvi": _Index(("nir", "green"), _normalized_difference),
        # Tucker 1979, Remote Sensing of Environment 8
        "grvi": _Index(("green", "red"), _normalized_difference),
        # Richardson and Wiegand 1977, Photogrammetric Engineering and Remote Sensing 43: red over near infrared
        "rvi": _Index(("red", "nir"), lambda red, nir: red / nir),
        # Baret and Guyot 1991, Remote Sensing of Environment 35
        "nrvi": _Index(("red", "nir"), _nrvi),
        # Deering et al. 1975, Tenth International Symposium on Remote Sensing of Environment
        "tvi": _Index(("nir", "red"), lambda nir, red: np.sqrt(_normalized_difference(nir, red) + np.float32(0.5))),
        # Perry and Lautenschlager 1984, Remote Sensing of Environment 14
        "ctvi": _Index(("nir", "red"), _ctvi),
        # Thiam 1997, dissertation, Clark University
        "ttvi": _Index(
            ("nir", "red"), lambda nir, red: np.sqrt(np.abs(_normalized_difference(nir, red)) + np.float32(0.5))
        ),
        # Huete 1988, Remote Sensing of Environment 25, has its soil term in the denominator too; DARTS's models were
        # trained on it without: 1.5 times the ndvi. The catalogue's SAVI is Huete's
        "savi": _Index(("nir", "red"), lambda nir, red: (nir - red) / (nir + red) * np.float32(1.5)),
        # Huete et al. 2002, Remote Sensing of Environment 83
        "evi": _Index(
            ("nir", "red", "blue"),
            lambda nir, red, blue: np.float32(2.5) * (nir - red) / (nir + 6 * red - np.float32(7.5) * blue + 1),
        ),
        # Gitelson et al. 2002, Remote Sensing of Environment 80
        "vari": _Index(("green", "red", "blue"), lambda green, red, blue: (green - red) / (green + red - blue)),
        # Wang et al. 2015, Transactions of the Chinese Society of Agricultural Engineering 31: gli by another name
        "vdvi": _Index(("green", "red", "blue"), _green_leaf, clipped=False),
        # Louhaichi et al. 2001, Geocarto International 16
        "gli": _Index(("green", "red", "blue"), _green_leaf, clipped=False),
        # Hunt et al. 2011, Precision Agriculture 12: wavelengths 670, 550 and 480 nm
        "tgi": _Index(
            ("red", "green", "blue"),
            lambda red, green, blue: np.float32(-0.5) * (190 * (red - green) - 120 * (red - blue)),
        ),
        # Woebbecke et al. 1995, Transactions of the ASAE 38
        "exg": _Index(("green", "red", "blue"), lambda green, red, blue: 2 * green - red - blue),
    }
)

INDICES = tuple(_DARTS)
"""Names of DARTS's indices."""


def is_index(name: str) -> bool:
    """Whether `index_bands` knows the name."""
    return name in _DARTS or name in catalogue_names()


def index_bands(name: str) -> tuple[str, ...]:
    """The reflectance bands that an index is made from, by their common names.

    Raises:
        IndexNameError: no such index, with the nearest names; or one that wants a constant without a default.
    """
    if name in _DARTS:
        return _DARTS[name].bands
    return tuple(band for _, band in _in_catalogue(name).bands)


def compute(name: str, bands: Mapping[str, np.ndarray]) -> np.ndarray:
    """An index of reflectance.

    Args:
        name: one of `INDICES`, or of the spyndex catalogue, whose constants have the catalogue's defaults and whose
            kernels are radial basis functions.
        bands: reflectance by common name, float32 of one shape, NaN = nodata; more than the index needs is ignored.
            DARTS's indices but gli and vdvi clip it to 0..1, the catalogue's take it as it is.

    Returns:
        float32 of the same shape; NaN where a band is nodata and where the formula has no value (0/0, a root of a
        negative number), infinite where it divides something by 0.

    Raises:
        IndexNameError: as `index_bands`; or a band is missing.
    """
    needed = index_bands(name)
    missing = [band for band in needed if band not in bands]
    if missing:
        raise IndexNameError(
            f"Index {name} is made from {', '.join(needed)}; missing {', '.join(missing)} (there is "
            f"{', '.join(bands) or 'no band'}). Read these bands, or ask for another index"
        )
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if name in _DARTS:
            index = _DARTS[name]
            taken = (np.clip(bands[band], 0, 1) if index.clipped else bands[band] for band in index.bands)
            result = index.formula(*taken)
        else:
            result = _evaluated(_in_catalogue(name), bands)
    return np.asarray(result, np.float32)


def _evaluated(index: CatalogueIndex, bands: Mapping[str, np.ndarray]) -> np.ndarray:
    values: dict[str, np.ndarray | float] = {term: bands[band] for term, band in index.bands}
    values |= {term: float(default) for term, default in index.constants if default is not None}
    if index.kernels:
        width = 2 * values["sigma"] ** 2
        values |= {term: np.exp(-((values[a] - values[b]) ** 2) / width) for term, a, b in index.kernels}
    # `code` holds arithmetic and nothing else: darts_core.spectral looked
    return eval(index.code, {"__builtins__": {}}, values)


def _in_catalogue(name: str) -> CatalogueIndex:
    index = catalogue_index(name)
    if index is None:
        raise IndexNameError(
            f"There is no spectral index {name!r}; {near(name, (*INDICES, *sorted(catalogue_names())))}"
        )
    undefined = [term for term, default in index.constants if default is None]
    if undefined:
        raise IndexNameError(
            f"Index {name} ({index.formula}) wants {', '.join(undefined)}, which the spyndex catalogue gives no value. "
            "Ask for another index"
        )
    return index


def near(name: str, known: tuple[str, ...]) -> str:
    """What to try instead of an unknown name, for an error message."""
    folded: dict[str, list[str]] = {}
    for candidate in known:
        folded.setdefault(candidate.lower(), []).append(candidate)
    matches = difflib.get_close_matches(name.lower(), folded, n=4, cutoff=0.6)
    found = [candidate for match in matches for candidate in folded[match]]
    if not found:
        return "names are those of darts_core.contracts and of the spyndex catalogue"
    return f"did you mean {', '.join(found)}?"
