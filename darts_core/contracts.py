"""The table of products: what each variable means, and how it is stored.

One row a variable, one table for readers, IO managers, models and tests. Each variable has three codecs:

* **disk**: an integer or float dtype with CF ``scale_factor`` / ``add_offset`` / ``_FillValue``;
* **memory**: the physical quantity, float32 with NaN for nodata (masks and classes keep their dtype);
* **model**: ``(x - lo) / (hi - lo)`` over the variable's valid range, NaN to 0, clipped to 0..1.

`conform` describes a dataset fresh from a step, `encode` and `decode` turn it into its disk form and back,
`validate` names every departure from the contract at once.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from types import MappingProxyType

import numpy as np
import xarray as xr

from darts_core.errors import DartsError
from darts_core.spectral import catalogue_index

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
    for row in _rows(product):
        if fnmatchcase(str(name), row.name):
            return replace(row, name=str(name))
    return _of_catalogue(str(name)) if product == "preprocessed" else None


def _rows(product: str) -> tuple[Variable, ...]:
    try:
        return PRODUCTS[product]
    except KeyError:
        raise ContractError(f"No product {product!r}; the contracts know {', '.join(PRODUCTS)}") from None


def conform(dataset: xr.Dataset, product: str, data_source: str | Mapping[str, str]) -> xr.Dataset:
    """A new dataset with the memory dtypes, attributes and nodata of the contract.

    Args:
        dataset: variables (y, x) with a CRS; packed variables are physical float values, NaN = nodata.
        product: a key of `PRODUCTS`.
        data_source: where the values come from; one text, or one a variable.

    Raises:
        ContractError: a variable that the product does not have.
    """
    described = {}
    for name, array in dataset.data_vars.items():
        row = variable(product, name)
        if row is None:
            raise ContractError(f"Product {product!r} has no variable {name!r}")
        source = data_source if isinstance(data_source, str) else data_source[str(name)]
        described[name] = describe(array.astype(row.memory), row, source)
    return dataset.assign(described)


def describe(array: xr.DataArray, row: Variable, data_source: str) -> xr.DataArray:
    """`array` with the attributes, nodata and grid mapping that its row asks for; values as they are."""
    import rioxarray  # noqa: F401  (registers the .rio accessor)

    kept = {name: value for name, value in array.attrs.items() if name not in _CODEC_ATTRIBUTES}
    attrs = {**kept, "long_name": row.long_name, "data_source": data_source}
    if row.units is not None:
        attrs["units"] = row.units
    bare = array.drop_encoding().assign_attrs(attrs)
    bare.attrs = attrs
    if row.nodata is not None:
        bare = bare.rio.write_nodata(row.nodata, encoded=row.memory == "float32")
    return bare


_CODEC_ATTRIBUTES = ("scale_factor", "add_offset", "_FillValue", "dtype", "grid_mapping")


def encode(dataset: xr.Dataset, product: str) -> xr.Dataset:
    """`dataset` as it goes to disk: codes of the disk dtype with CF attributes. Lazy where lazy."""
    encoded = {}
    for name, array in dataset.data_vars.items():
        row = _row_of(product, name)
        codes = _apply(row.encode, array, row.disk)
        codes.attrs = {**array.attrs, **cf_attributes(row), "grid_mapping": "spatial_ref"}
        codes.encoding = {}
        encoded[name] = codes
    return dataset.assign(encoded)


def decode(dataset: xr.Dataset, product: str) -> xr.Dataset:
    """The inverse of `encode`: a dataset opened without CF decoding as physical values, in the order of the table."""
    decoded = {}
    order = [row.name for row in _rows(product)]
    for name, array in sorted(dataset.data_vars.items(), key=lambda item: _position(order, item[0])):
        row = _row_of(product, name)
        values = _apply(row.decode, array, row.memory)
        values.attrs = dict(array.attrs)
        decoded[name] = describe(values, row, array.attrs.get("data_source", "unknown"))
    return dataset.drop_vars(list(decoded)).assign(decoded)


def _position(order: list[str], name: Hashable) -> tuple[int, str]:
    ranks = [rank for rank, pattern in enumerate(order) if fnmatchcase(str(name), pattern)]
    return (ranks[0] if ranks else len(order)), str(name)


def cf_attributes(row: Variable) -> dict[str, float]:
    """The CF packing attributes of a variable on disk."""
    attributes: dict[str, float] = {}
    if row.packed:
        attributes |= {"scale_factor": float(row.scale or 1), "add_offset": float(row.offset or 0)}
    if row.nodata is not None:
        attributes["_FillValue"] = np.dtype(row.disk).type(row.nodata)
    return attributes


def _row_of(product: str, name: Hashable) -> Variable:
    row = variable(product, name)
    if row is None:
        raise ContractError(f"Product {product!r} has no variable {name!r}")
    return row


def _apply(function, array: xr.DataArray, dtype: str) -> xr.DataArray:  # type: ignore[no-untyped-def]
    return xr.apply_ufunc(function, array, dask="parallelized", output_dtypes=[np.dtype(dtype)])


def model_input(dataset: xr.Dataset, bands: tuple[str, ...]) -> np.ndarray:
    """What a checkpoint sees: float32 in 0..1, axes (bands, y, x) in the checkpoint's order, NaN as 0.

    Raises:
        ContractError: a band that the dataset or the contract lacks.
    """
    require_bands(dataset, bands)
    return np.stack([VARIABLES[name].normalize(dataset[name].values) for name in bands])


def require_bands(dataset: xr.Dataset, bands: tuple[str, ...]) -> None:
    """Check that a scene has what a model wants.

    Raises:
        ContractError: naming the missing bands.
    """
    missing = [name for name in bands if name not in dataset or name not in VARIABLES]
    if missing:
        raise ContractError(
            f"The model wants the bands {', '.join(bands)}; the scene lacks {', '.join(missing)} "
            f"(it has {', '.join(map(str, dataset.data_vars))}). Configure the auxiliary data that the missing "
            "bands are made from, or choose a model without them"
        )


def validate(dataset: xr.Dataset, product: str, *, values: bool = True) -> None:
    """Check a dataset in memory form against its contract.

    Args:
        dataset: variables (y, x) in memory form.
        product: a key of `PRODUCTS`.
        values: also look at the range of the values, which computes a lazy dataset (once, in blocks).

    Raises:
        ContractError: with one line for every departure: a missing or unknown variable, dtype, axes,
            coordinates, CRS, nodata, a missing attribute, a value out of range.
    """
    departures = _grid_departures(dataset)
    for row in _rows(product):
        if row.required and not any(fnmatchcase(str(name), row.name) for name in dataset.data_vars):
            departures.append(f"variable {row.name!r} is missing")
    for name, array in dataset.data_vars.items():
        found = variable(product, name)
        if found is None:
            departures.append(f"variable {name!r} is not part of the product")
        else:
            departures += [f"{name}: {text}" for text in _variable_departures(array, found)]
    if values:
        departures += _range_departures(dataset, product)
    if departures:
        lines = "".join(f"\n  - {text}" for text in departures)
        raise ContractError(f"The dataset departs from the contract of {product!r}:{lines}")


def _grid_departures(dataset: xr.Dataset) -> list[str]:
    import rioxarray  # noqa: F401

    departures = [f"coordinate {name!r} is missing" for name in DIMENSIONS if name not in dataset.coords]
    if "spatial_ref" not in dataset.coords or dataset.rio.crs is None:
        departures.append("coordinate 'spatial_ref' with a CRS is missing")
    return departures


def _variable_departures(array: xr.DataArray, row: Variable) -> list[str]:
    departures = []
    if array.dims != DIMENSIONS:
        departures.append(f"axes are {array.dims}, expected {DIMENSIONS}")
    if array.dtype != np.dtype(row.memory):
        departures.append(f"dtype is {array.dtype}, expected {row.memory}")
        return departures
    for attribute in ("data_source", "long_name", *(("units",) if row.units else ())):
        if attribute not in array.attrs:
            departures.append(f"attribute {attribute!r} is missing")
    declared = array.rio.encoded_nodata if row.memory == "float32" else array.rio.nodata
    if not _same(declared, row.nodata):
        departures.append(f"nodata is {declared}, expected {row.nodata}")
    return departures


def _range_departures(dataset: xr.Dataset, product: str) -> list[str]:
    extremes = {}
    for name, array in dataset.data_vars.items():
        row = variable(product, name)
        if row is None or row.memory == "bool" or array.dtype != np.dtype(row.memory) or array.size == 0:
            continue
        # a nodata code counts as the lowest valid value: integers stay integers
        kept = array if row.memory == "float32" or row.nodata is None else array.where(array != row.nodata, 0)
        extremes[name] = xr.concat([kept.min(), kept.max()], "extreme", coords="minimal", compat="override")
    # one pass over a lazy dataset: what two variables are made from is computed once
    computed = xr.Dataset(extremes).compute()
    return [
        f"{name}: {text}"
        for name, array in computed.data_vars.items()
        for text in _beyond(array.values, _row_of(product, name))
    ]


def _beyond(extremes: np.ndarray, row: Variable) -> list[str]:
    least, most = extremes
    if not row.bounded and not row.packed:
        return []
    # reflectance may exceed the range that models see (snow, glint): what the disk can hold is the limit
    low, high = row.decode(np.array(row.codes, row.disk)) if row.packed else row.valid
    tolerance = row.scale or 0.0
    if least < low - tolerance or most > high + tolerance:
        return [f"values span {least:g}..{most:g}, expected within {low:g}..{high:g}"]
    return []


def _same(left: float | None, right: float | None) -> bool:
    if left is None or right is None:
        return left is right
    return left == right or (np.isnan(left) and np.isnan(right))
