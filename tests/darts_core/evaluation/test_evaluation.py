import geopandas as gpd
import numpy as np
import pytest
import rioxarray  # noqa: F401
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from shapely import box

from darts_core.evaluation.metrics import Confusion, calibration_error, match_objects, reliability
from darts_core.evaluation.parameters import EvaluateParameters
from darts_core.evaluation.report import EvaluationError, EvaluationReport, evaluate

masks = npst.arrays(bool, (9, 11))


def test_objects_match_as_in_darts(golden):
    arrays = np.load(golden / "darts" / "metrics.npz")
    for predicted, truth, expected in zip(arrays["in_pred"], arrays["in_target"], arrays["out_match"], strict=True):
        matches = match_objects(predicted == 1, truth == 1, [0.3, 0.5])
        counts = [[one.true_positive, one.false_positive, one.false_negative] for one in matches]
        assert counts == expected.tolist()


@given(masks)
def test_a_mask_matches_itself_whole(mask):
    (match,) = match_objects(mask, mask, [1.0])
    assert (match.false_positive, match.false_negative) == (0, 0)
    assert (match.true_positive > 0) == mask.any()


@given(masks, masks)
def test_precision_and_recall_swap_with_the_masks(one, other):
    left, right = Confusion.of(one, other).scores(), Confusion.of(other, one).scores()
    assert (left.precision, left.f1, left.iou) == (right.recall, right.f1, right.iou)
    assert left.iou <= min(left.precision, left.recall) + 1e-12


def test_each_object_is_matched_once():
    truth = np.zeros((3, 12), bool)
    truth[:, 0:10] = True
    predicted = truth.copy()
    predicted[:, 5] = False
    (match,) = match_objects(predicted, truth, [0.3])
    assert (match.true_positive, match.false_positive, match.false_negative) == (1, 1, 0)


@given(npst.arrays(np.float32, 200, elements=st.floats(0, 1, width=32)), st.integers(1, 20))
def test_bins_hold_every_pixel_and_their_mean_lies_inside(probabilities, bins):
    made = reliability(probabilities, probabilities > 0.5, bins)
    assert sum(one.pixels for one in made) == 200
    assert all(one.low - 1e-5 <= one.mean_probability <= one.high + 1e-5 for one in made if one.pixels)


def test_calibrated_probabilities_have_no_calibration_error():
    rng = np.random.default_rng(0)
    probabilities = rng.random(200_000)
    assert calibration_error(reliability(probabilities, rng.random(200_000) < probabilities, 10)) < 0.01
    assert calibration_error(reliability(np.full(100, 0.75), np.zeros(100, bool), 10)) == pytest.approx(0.75)


def grid(values):
    height, width = values.shape
    coords = {"y": 1000 - np.arange(height) * 10.0, "x": 500_000 + np.arange(width) * 10.0}
    return xr.DataArray(values.astype(np.float32), dims=("y", "x"), coords=coords).rio.write_crs(32608)


@pytest.fixture
def probabilities():
    values = np.full((30, 40), 0.05)
    values[5:15, 5:15] = 0.9
    values[20:25, 30:35] = 0.6
    values[:, 38:] = np.nan
    return grid(values)


def test_a_report_of_outlines(probabilities):
    outline = box(500_045, 1000 - 145, 500_145, 1000 - 45)
    report = evaluate(probabilities, gpd.GeoDataFrame(geometry=[outline], crs=32608).to_crs(3413))
    assert report.pixels == 30 * 38
    assert report.slump_pixels == pytest.approx(100, abs=4)
    assert report.scores.precision == pytest.approx(100 / 125, abs=0.04)
    assert report.best_threshold == 0.7
    assert [(one.true_positive, one.false_positive, one.false_negative) for one in report.objects] == [(1, 1, 0)] * 2
    assert EvaluationReport.model_validate_json(report.model_dump_json()) == report


def test_what_is_ignored_does_not_count(probabilities):
    truth = grid(np.zeros((30, 40)))
    truth[5:15, 5:15] = 1
    truth[18:28, 28:38] = 255
    report = evaluate(probabilities, truth)
    assert report.scores.iou == 1
    assert report.objects[1].false_positive == 0
    small = EvaluateParameters(min_object_pixels=101)
    assert evaluate(probabilities, truth, small).objects[0].true_positive == 0


def test_what_cannot_be_compared_is_refused(probabilities):
    with pytest.raises(EvaluationError, match=r"shape \(2, 2\)"):
        evaluate(probabilities, grid(np.zeros((2, 2))))
    with pytest.raises(EvaluationError, match="nothing to compare"):
        evaluate(probabilities, grid(np.full((30, 40), 255)))
    with pytest.raises(EvaluationError, match="no CRS"):
        evaluate(probabilities, gpd.GeoDataFrame(geometry=[box(0, 0, 1, 1)]))
