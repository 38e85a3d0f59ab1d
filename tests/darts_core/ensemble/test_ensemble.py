"""The ensemble against NumPy's own statistics."""

import numpy as np
import pytest
import rioxarray  # noqa: F401
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import entropy

from darts_core import contracts
from darts_core.ensemble import EnsembleError, ensemble
from darts_core.segmentation.parameters import EnsembleParameters

PROBABILITIES = st.floats(0, 1, width=32) | st.just(np.nan)


def scene(*members: np.ndarray) -> xr.Dataset:
    height, width = members[0].shape
    coords = {"y": 7_701_995.0 - 10 * np.arange(height), "x": 513_005.0 + 10 * np.arange(width)}
    named = {f"probabilities-m{number}": (("y", "x"), values) for number, values in enumerate(members)}
    return xr.Dataset(named, coords, {"scene": "s"}).rio.write_crs(32608)


@given(hnp.arrays("float32", st.tuples(st.integers(1, 4), st.just(3), st.just(4)), elements=PROBABILITIES))
@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:Degrees of freedom")
def test_mean_and_spread_are_those_of_the_members_that_hold_data(members: np.ndarray) -> None:
    combined = ensemble(scene(*members))
    np.testing.assert_allclose(combined["probabilities"], np.nanmean(members.astype("f8"), axis=0), atol=1e-6)
    np.testing.assert_allclose(combined["spread"], np.nanstd(members.astype("f8"), axis=0), atol=1e-6)


@given(hnp.arrays("float32", (3, 4), elements=PROBABILITIES))
def test_one_model_is_its_own_ensemble(values: np.ndarray) -> None:
    combined = ensemble(scene(values))
    np.testing.assert_array_equal(combined["probabilities"], values)
    np.testing.assert_array_equal(combined["spread"], np.where(np.isnan(values), np.nan, 0))


@given(hnp.arrays("float32", (3, 4, 5), elements=PROBABILITIES), st.permutations(range(3)))
def test_the_order_of_the_models_does_not_matter(members: np.ndarray, order: list[int]) -> None:
    forth, back = ensemble(scene(*members)), ensemble(scene(*members[order]))
    for name in forth:
        np.testing.assert_allclose(forth[name], back[name], atol=1e-7)


def test_the_product_keeps_its_contract_lazily() -> None:
    members = np.random.default_rng(0).random((2, 8, 9), dtype="float32")
    members[:, 0, 0] = np.nan
    probabilities = scene(*members)
    lazy = ensemble(probabilities.chunk({"y": 3}))
    assert lazy.chunks["y"] == (3, 3, 2)
    contracts.validate(lazy, "ensemble")
    assert lazy.attrs == {"scene": "s", "models": ["m0", "m1"], "weights": [1, 1]}
    assert lazy.rio.crs == probabilities.rio.crs
    xr.testing.assert_identical(lazy.compute(), ensemble(probabilities))


def test_other_variables_are_left_out() -> None:
    probabilities = scene(np.zeros((2, 2), "f4")).assign(slope=(("y", "x"), np.ones((2, 2))))
    assert set(ensemble(probabilities)) == {"probabilities", "spread", "entropy"}


def test_nothing_to_combine_is_an_error() -> None:
    nothing = scene(np.zeros((2, 2), "f4")).rename({"probabilities-m0": "slope"})
    with pytest.raises(EnsembleError, match=r"s: expected variables probabilities-<model>, received slope"):
        ensemble(nothing)


WEIGHTS = st.floats(0.1, 10)


@given(
    hnp.arrays("float32", (3, 4, 5), elements=PROBABILITIES),
    st.lists(WEIGHTS, min_size=3, max_size=3),
)
def test_weights_are_those_of_numpys_average_over_the_members_that_hold_data(
    members: np.ndarray, weights: list[float]
) -> None:
    chosen = EnsembleParameters(weights={f"m{number}": weight for number, weight in enumerate(weights)})
    combined = ensemble(scene(*members), chosen)
    values = np.ma.masked_invalid(members.astype("f8"))
    mean = np.ma.average(values, axis=0, weights=weights)
    spread = np.ma.sqrt(np.ma.average((values - mean) ** 2, axis=0, weights=weights))
    np.testing.assert_allclose(combined["probabilities"], np.ma.filled(mean, np.nan), atol=1e-6)
    np.testing.assert_allclose(combined["spread"], np.ma.filled(spread, np.nan), atol=1e-6)


@given(hnp.arrays("float32", (2, 3, 4), elements=PROBABILITIES))
@pytest.mark.filterwarnings("ignore:Mean of empty slice")
def test_entropy_is_that_of_a_coin_with_the_mean_probability(members: np.ndarray) -> None:
    expected = entropy([1 - (mean := np.nanmean(members.astype("f8"), axis=0)), mean], base=2)
    np.testing.assert_allclose(ensemble(scene(*members))["entropy"], expected, atol=1e-6)


def test_scores_weigh_unless_a_weight_is_given_and_a_model_may_count_for_nothing() -> None:
    probabilities = scene(*np.array([[[0.0]], [[1.0]], [[0.5]]], "f4"))
    for name, score in (("m0", 0.2), ("m1", 0.6), ("m2", 0.7)):
        probabilities[f"probabilities-{name}"].attrs["score"] = score
    by_score = EnsembleParameters(weighting="score", weights={"m2": 0})
    combined = ensemble(probabilities, by_score)
    assert combined.attrs["weights"] == [0.2, 0.6, 0]
    assert combined["probabilities"].item() == pytest.approx(0.75)
    del probabilities["probabilities-m1"].attrs["score"]
    with pytest.raises(EnsembleError, match="s: the checkpoint of m1 holds no score"):
        ensemble(probabilities, by_score)
    with pytest.raises(EnsembleError, match="weights are given for m9; the models are m0, m1, m2"):
        ensemble(probabilities, EnsembleParameters(weights={"m9": 1}))
    with pytest.raises(EnsembleError, match="every one of the models m0, m1, m2 weighs 0"):
        ensemble(probabilities, EnsembleParameters(weights={"m0": 0, "m1": 0, "m2": 0}))
