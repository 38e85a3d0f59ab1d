"""The contract of every product: what each variable means, and how it is stored.

One row a variable, one table for readers, IO managers, models and tests. Each variable has three codecs:

* **disk**: an integer or float dtype with CF ``scale_factor`` / ``add_offset`` / ``_FillValue``;
* **memory**: the physical quantity, float32 with NaN for nodata (masks and classes keep their dtype);
* **model**: ``(x - lo) / (hi - lo)`` over the variable's valid range, NaN to 0, clipped to 0..1.

`conform` describes a dataset fresh from a step, `encode` and `decode` turn it into its disk form and back,
`validate` names every departure from the contract at once.
"""

from darts_core.contracts.checks import require_bands, validate
from darts_core.contracts.codecs import (
    DIMENSIONS,
    ContractError,
    Variable,
    rescale,
)
from darts_core.contracts.datasets import (
    cf_attributes,
    conform,
    decode,
    describe,
    encode,
    model_input,
)
from darts_core.contracts.table import (
    INDICES,
    PRODUCTS,
    REFLECTANCE,
    REFLECTANCE_20M,
    REFLECTANCE_OTHER,
    TERRAIN,
    TRENDS,
    VARIABLES,
    variable,
)

__all__ = [
    "DIMENSIONS",
    "INDICES",
    "PRODUCTS",
    "REFLECTANCE",
    "REFLECTANCE_20M",
    "REFLECTANCE_OTHER",
    "TERRAIN",
    "TRENDS",
    "VARIABLES",
    "ContractError",
    "Variable",
    "cf_attributes",
    "conform",
    "decode",
    "describe",
    "encode",
    "model_input",
    "require_bands",
    "rescale",
    "validate",
    "variable",
]
