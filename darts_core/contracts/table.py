"""The table: every variable of every product, said once."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from types import MappingProxyType

import numpy as np

from darts_core.contracts.codecs import ContractError, Variable
from darts_core.spectral import catalogue_index


def _reflectance(name: str, long_name: str) -> Variable:
    return Variable(
        name,
        f"{long_name} reflectance",
        *("uint16", "float32", (-0.1, 0.5), 0, 1e-4, -0.1),
        units="1",
        bounded=False,
    )


def _index(name: str, long_name: str, valid: tuple[float, float]) -> Variable:
    """An index that lies within its range, in steps of 1e-4."""
    packing = ("uint16", "float32", valid, 0, 1e-4, float(valid[0]))
    return Variable(name, long_name, *packing, units="1", required=False)


def _ratio(name: str, long_name: str, valid: tuple[float, float] = (-1, 1)) -> Variable:
    """An index whose denominator can be small: any number, as it is."""
    return Variable(name, long_name, *_AS_IT_IS, valid, np.nan, units="1", bounded=False, required=False)


def _terrain(name: str, long_name: str, valid: tuple[float, float], units: str, bounded: bool = False) -> Variable:
    return Variable(name, long_name, *_AS_IT_IS, valid, np.nan, units=units, bounded=bounded, required=False)


_AS_IT_IS = ("float32", "float32")


def _trend(name: str) -> Variable:
    return Variable(f"tc_{name}", f"Tasselled-cap {name} trend", "uint8", "uint8", (0, 255), units="1", required=False)


def _mask(name: str, long_name: str) -> Variable:
    return Variable(name, long_name, "bool", "bool", (0, 1))


def _percent(name: str, long_name: str) -> Variable:
    return Variable(name, long_name, "uint8", "float32", (0, 1), 255, 0.01, 0.0, units="1")


REFLECTANCE = (
    _reflectance("blue", "Blue"),
    _reflectance("green", "Green"),
    _reflectance("red", "Red"),
    _reflectance("nir", "Near infrared"),
)

REFLECTANCE_20M = (
    _reflectance("rededge071", "Red edge at 0.71 um"),
    _reflectance("rededge075", "Red edge at 0.75 um"),
    _reflectance("rededge078", "Red edge at 0.78 um"),
    _reflectance("nir08", "Narrow near infrared"),
    _reflectance("swir16", "Short-wave infrared at 1.6 um"),
    _reflectance("swir22", "Short-wave infrared at 2.2 um"),
)
"""Sentinel-2's bands of 20 m, by their common names in the STAC EO extension; they can be super-resolved too."""

REFLECTANCE_OTHER = (
    _reflectance("coastal", "Coastal aerosol"),
    _reflectance("green05", "Green at 0.53 um"),
    _reflectance("green_i", "Green I"),
    _reflectance("yellow", "Yellow"),
    _reflectance("rededge", "Red edge"),
    _reflectance("nir09", "Near infrared at 0.94 um, water vapour"),
)
"""Bands that single sensors have besides."""

INDICES = (
    _index("ndvi", "Normalized difference vegetation index", (-1, 1)),
    _index("gndvi", "Green normalized difference vegetation index", (-1, 1)),
    _index("grvi", "Green-red vegetation index", (-1, 1)),
    _ratio("rvi", "Ratio vegetation index, red / near infrared", (0, 2)),
    _index("nrvi", "Normalized ratio vegetation index", (-1, 1)),
    _index("tvi", "Transformed vegetation index", (0, 1.2248)),
    _index("ctvi", "Corrected transformed vegetation index", (-0.7072, 1.2248)),
    _index("ttvi", "Thiam's transformed vegetation index", (0.7, 1.2248)),
    _index("savi", "Soil-adjusted vegetation index", (-1.5, 1.5)),
    _ratio("evi", "Enhanced vegetation index"),
    _ratio("vari", "Visible atmospherically resistant index"),
    _ratio("vdvi", "Visible-band difference vegetation index"),
    _ratio("gli", "Green leaf index"),
    _ratio("tgi", "Triangular greenness index", (-95, 95)),
    _index("exg", "Excess green", (-2, 2)),
)
"""Spectral indices by name; `darts_core.preprocessing.indices` has their formulas."""

TERRAIN = (
    _terrain("dem", "Elevation", (-100, 3000), "m"),
    Variable(
        "relative_elevation",
        "Elevation above the mean of the surroundings",
        *("int16", "float32", (-50, 50), 0, 1 / 300, -50.0),
        units="m",
        required=False,
    ),
    _terrain("slope", "Slope", (0, 90), "degree", bounded=True),
    _terrain("aspect", "Direction of steepest descent, clockwise from true north", (0, 360), "degree", bounded=True),
    Variable(
        "hillshade",
        "Hillshade",
        *("uint16", "float32", (0, 1), 65535, 1e-4, 0.0),
        units="1",
        required=False,
    ),
    _terrain("curvature", "Curvature, positive on tops", (-1, 1), "0.01 m-1"),
    _terrain("terrain_ruggedness_index", "Terrain ruggedness index", (0, 100), "m"),
    _terrain("vector_ruggedness_measure", "Vector ruggedness measure", (0, 1), "1", bounded=True),
    _terrain("dissection_index", "Dissection index", (0, 1), "1"),
)
"""Features of the elevation; `darts_core.preprocessing.terrain` has their formulas."""

TRENDS = (_trend("brightness"), _trend("greenness"), _trend("wetness"))

PRODUCTS: Mapping[str, tuple[Variable, ...]] = MappingProxyType(
    {
        "preprocessed": (
            *REFLECTANCE,
            *(replace(row, required=False) for row in (*REFLECTANCE_20M, *REFLECTANCE_OTHER)),
            *INDICES,
            *TERRAIN,
            *TRENDS,
            _mask("valid_data_mask", "True where every band holds data"),
            _mask("quality_data_mask", "True where the observation is of high quality"),
            Variable("quality_level", "Quality: 0 invalid, 1 low, 2 high", "uint8", "uint8", (0, 2)),
        ),
        # whichever bands the model makes
        "super_resolved": tuple(replace(row, required=False) for row in (*REFLECTANCE, *REFLECTANCE_20M)),
        "segmentation": (_percent("probabilities-*", "Thaw slump probability"),),
        "ensemble": (
            _percent("probabilities", "Thaw slump probability, mean over models"),
            _percent("spread", "Standard deviation of the probability over models"),
            _percent("entropy", "Binary entropy of the mean probability: 1 where it is undecided"),
        ),
        "postprocessed": (
            Variable(
                "probabilities_percent",
                "Thaw slump probability",
                *("uint8", "uint8", (0, 100), 255),
                units="percent",
            ),
            Variable("binarized_segmentation", "Thaw slump: 0 no, 1 yes", "uint8", "uint8", (0, 1)),
            _mask("extent", "True where slumps were looked for"),
        ),
        "coverage": (
            Variable("looks", "How often slumps were looked for", "uint16", "uint16", (0, 65535), units="1"),
            *(
                Variable(
                    f"{which}_look",
                    f"Day of the {which} look, 0 where none",
                    "uint16",
                    "uint16",
                    (0, 65535),
                    units="days since 1970-01-01",
                )
                for which in ("first", "last")
            ),
        ),
    }
)


class _Variables(Mapping[str, Variable]):
    """The rows of all products by name, and on demand that of a spectral index of the spyndex catalogue."""

    def __init__(self, rows: Mapping[str, Variable]) -> None:
        self._rows = rows

    def __getitem__(self, name: str) -> Variable:
        row = self._rows.get(name) or _of_catalogue(name)
        if row is None:
            raise KeyError(name)
        return row

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def _of_catalogue(name: str) -> Variable | None:
    index = catalogue_index(name)
    return None if index is None else _ratio(name, index.long_name)


VARIABLES: Mapping[str, Variable] = _Variables({row.name: row for rows in PRODUCTS.values() for row in rows})


def variable(product: str, name: Hashable) -> Variable | None:
    """The row of `product` that describes the variable `name`, or None."""
    for row in rows_of(product):
        if fnmatchcase(str(name), row.name):
            return replace(row, name=str(name))
    return _of_catalogue(str(name)) if product == "preprocessed" else None


def rows_of(product: str) -> tuple[Variable, ...]:
    """The rows of a product, in order.

    Raises:
        ContractError: no such product.
    """
    try:
        return PRODUCTS[product]
    except KeyError:
        raise ContractError(f"No product {product!r}; the contracts know {', '.join(PRODUCTS)}") from None


def row_of(product: str, name: Hashable) -> Variable:
    """The row of `product` that describes the variable `name`.

    Raises:
        ContractError: there is none.
    """
    row = variable(product, name)
    if row is None:
        raise ContractError(f"Product {product!r} has no variable {name!r}")
    return row
