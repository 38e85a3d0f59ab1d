"""The spyndex catalogue of spectral indices (Montero et al. 2023, Scientific Data 10): formulas, bands, references.

What the catalogue says, as values; nothing is computed here. Loaded on first use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from types import CodeType

_SAFE = re.compile(r"[\w.+\-*/() ]+")
_WORD = re.compile(r"[A-Za-z_]\w*")
_KERNEL = re.compile(r"k([A-Z])([A-Z])")


@dataclass(frozen=True, slots=True)
class CatalogueIndex:
    """One index of the catalogue."""

    name: str
    """As in the catalogue: ``NDWI``."""
    long_name: str
    formula: str
    reference: str
    """URL of the paper that defines it."""
    code: CodeType
    """The formula, compiled; it holds arithmetic of the names below and nothing else."""
    bands: tuple[tuple[str, str], ...]
    """(name in the formula, common name of the reflectance band)."""
    constants: tuple[tuple[str, float | None], ...]
    """(name in the formula, default); None where the catalogue gives none."""
    kernels: tuple[tuple[str, str, str], ...]
    """(name in the formula, its two arguments, each a band or a constant): kNR is k(N, R)."""


@cache
def catalogue_names() -> frozenset[str]:
    """Names of all indices of the catalogue."""
    from spyndex import indices

    return frozenset(indices)


@cache
def catalogue_index(name: str) -> CatalogueIndex | None:
    """The index of this name, or None where the catalogue has none."""
    if name not in catalogue_names():
        return None
    from spyndex import bands, constants, indices

    entry = indices[name]
    asked = list(entry.bands)
    kernels = tuple((text, *pair.groups()) for text in asked if (pair := _KERNEL.fullmatch(text)))
    terms = dict.fromkeys(text for text in asked if not _KERNEL.fullmatch(text))
    if kernels:
        terms |= dict.fromkeys([*(part for _, *pair in kernels for part in pair), "sigma"])
    return CatalogueIndex(
        name=name,
        long_name=entry.long_name,
        formula=entry.formula,
        reference=entry.reference,
        code=_compiled(name, entry.formula, set(asked)),
        # radar polarisations stand in formulas and not in the table of bands
        bands=tuple(
            (text, bands[text].common_name if text in bands else text.lower())
            for text in terms
            if text not in constants
        ),
        constants=tuple((text, constants[text].default) for text in terms if text in constants),
        kernels=kernels,
    )


def _compiled(name: str, formula: str, terms: set[str]) -> CodeType:
    """`formula` ready to be evaluated, after a look that it is arithmetic and nothing else."""
    # without brackets, quotes, commas and calls there is nothing but numbers and names to compute with
    calls = re.search(r"[\w.)]\s*\(", formula)
    if not _SAFE.fullmatch(formula) or calls or set(_WORD.findall(formula)) - terms:
        raise ValueError(f"spyndex index {name}: expected arithmetic of {sorted(terms)}, received {formula!r}")
    return compile(formula, f"<spyndex {name}>", "eval")
