"""Spectral indices against golden arrays, spyndex itself and what their definitions imply."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import spyndex
from hypothesis import given
from hypothesis import strategies as st

from darts_core.contracts import INDICES as ROWS
from darts_core.contracts import VARIABLES
from darts_core.preprocessing.indices import INDICES, IndexNameError, compute, index_bands
from darts_core.spectral import catalogue_index, catalogue_names

BANDS = ("blue", "green", "red", "nir")


@pytest.fixture(scope="module")
def indices(golden: Path) -> dict[str, np.ndarray]:
    return dict(np.load(golden / "darts" / "indices.npz"))


def reflectances(seed: int = 0, names: tuple[str, ...] = BANDS) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {name: generator.uniform(0.01, 0.9, (7, 5)).astype("float32") for name in names}


@pytest.mark.parametrize("name", [name for name in INDICES if name != "vdvi"])
def test_indices_are_the_golden_ones(name: str, indices: dict[str, np.ndarray]) -> None:
    result = compute(name, {band: indices[f"in_{band}"] for band in BANDS})
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, indices[f"out_{name}"], rtol=1e-6)


def test_vdvi_is_gli_by_another_name(indices: dict[str, np.ndarray]) -> None:
    bands = {band: indices[f"in_{band}"] for band in BANDS}
    np.testing.assert_array_equal(compute("vdvi", bands), compute("gli", bands))
    assert compute("gli", bands).max() > 1, "negative reflectance is not clipped here"


@given(red=st.floats(-1, 2, width=32), nir=st.floats(-1, 2, width=32))
def test_ndvi_lies_between_minus_one_and_one_and_turns_with_its_bands(red: float, nir: float) -> None:
    a, b = np.array([red], "f4"), np.array([nir], "f4")
    forth, back = compute("ndvi", {"red": a, "nir": b})[0], compute("ndvi", {"red": b, "nir": a})[0]
    if max(red, nir) <= 0:
        assert np.isnan(forth)
        assert np.isnan(back)
    else:
        assert -1 <= forth <= 1
        assert forth == -back


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_index_of_the_contract_keeps_its_range_and_its_nodata(row) -> None:  # type: ignore[no-untyped-def]
    bands = reflectances()
    bands["red"][0, 0] = bands["nir"][0, 0] = bands["green"][0, 0] = np.nan
    values = compute(row.name, bands)
    assert np.argwhere(np.isnan(values)).tolist() == [[0, 0]] or row.name == "tvi"
    assert np.isnan(values[0, 0])
    if row.bounded:
        assert np.nanmin(values) >= row.valid[0]
        assert np.nanmax(values) <= row.valid[1]
    np.testing.assert_allclose(row.decode(row.encode(values)), values, atol=6e-5 if row.packed else 0)


def test_the_contract_and_the_formulas_know_the_same_indices() -> None:
    assert {row.name for row in ROWS} == set(INDICES)


@pytest.mark.parametrize("name", sorted(catalogue_names()))
def test_an_index_of_the_catalogue_is_what_spyndex_computes(name: str) -> None:
    entry = catalogue_index(name)
    assert entry is not None
    undefined = [term for term, default in entry.constants if default is None]
    if undefined:
        with pytest.raises(IndexNameError, match=f"{name} .* wants {undefined[0]}"):
            index_bands(name)
        return
    needed = index_bands(name)
    bands = reflectances(names=tuple(dict.fromkeys(needed)))
    params = {term: bands[band].astype(float) for term, band in entry.bands}
    params |= {term: spyndex.constants[term].default for term, _ in entry.constants}
    for term, a, b in entry.kernels:
        params[term] = spyndex.computeKernel("RBF", {"a": params[a], "b": params[b], "sigma": 0.5})
    with np.errstate(invalid="ignore"):
        expected = spyndex.computeIndex(name, params)
    # computed in float64, that differences of near equals do not hide a wrong formula
    with np.errstate(invalid="ignore"):
        exact = compute(name, {band: values.astype(float) for band, values in bands.items()})
    np.testing.assert_allclose(exact, expected, rtol=1e-6)
    assert compute(name, bands).dtype == np.float32


def test_an_index_of_the_catalogue_has_a_row() -> None:
    row = VARIABLES["NDWI"]
    assert (row.disk, row.memory, row.bounded, row.required) == ("float32", "float32", False, False)
    assert np.isnan(row.nodata)
    assert row.long_name == "Normalized Difference Water Index"
    assert "NDWI" in VARIABLES
    assert "NDW1" not in VARIABLES


def test_no_name_leads_to_other_than_arithmetic() -> None:
    from darts_core.spectral import _compiled

    for formula in ("N.real", "N.__class__", "f(N)", "(N)(R)", "N if R else N", "[N]", "N**R**S1", "'N'", "N,R", "1e9"):
        with pytest.raises(ValueError, match="expected arithmetic"):
            _compiled("X", formula, {"N", "R"})


def test_an_unknown_index_is_answered_with_near_ones() -> None:
    with pytest.raises(IndexNameError, match=r"no spectral index 'ndvl'; did you mean ndvi, NDVI"):
        index_bands("ndvl")
    with pytest.raises(IndexNameError, match="names are those of"):
        compute("zzzzzzzz", {})


def test_a_missing_band_is_named() -> None:
    bands = reflectances()
    with pytest.raises(IndexNameError, match=r"NBR is made from nir, swir22; missing swir22 \(there is blue, green"):
        compute("NBR", bands)
    with pytest.raises(IndexNameError, match="missing red"):
        compute("ndvi", {"nir": bands["nir"]})
