"""Postprocessing against golden arrays, and where it departs from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401
import xarray as xr
from pydantic import ValidationError

from darts_core import contracts
from darts_core.postprocessing import PostprocessError, PostprocessParameters, postprocess

GOLDEN = [(quality, mask, edge) for quality in (0, 1, 2) for mask, edge in ((10, None), (5, 20), (3, 1))]
PLAIN = PostprocessParameters(quality_level=1, mask_erosion_px=0, min_object_px=0)


def scene(probabilities: np.ndarray, quality: np.ndarray | None = None) -> tuple[xr.Dataset, xr.DataArray]:
    height, width = probabilities.shape
    quality = np.where(np.isnan(probabilities), 0, 2) if quality is None else quality
    coords = {"y": 7_701_998.5 - 3 * np.arange(height), "x": 513_001.5 + 3 * np.arange(width)}
    values = {
        "probabilities": (("y", "x"), probabilities.astype("f4")),
        "q": (("y", "x"), quality.astype("u1")),
    }
    both = xr.Dataset(values, coords, {"scene": "s"}).rio.write_crs(32608)
    return both[["probabilities"]], both["q"]


@pytest.fixture(scope="module")
def arrays(golden: Path) -> dict[str, np.ndarray]:
    return dict(np.load(golden / "darts" / "postprocess.npz"))


@pytest.mark.parametrize("chunks", [None, {"y": 37, "x": 50}])
@pytest.mark.parametrize(("quality", "mask", "edge"), GOLDEN)
@pytest.mark.parametrize("darts", [{"compat": "darts"}, {"remove_touching": False}])
def test_in_compatibility_mode_it_is_darts(  # type: ignore[no-untyped-def]
    arrays, quality: int, mask: int, edge: int | None, chunks, darts: dict
) -> None:
    parameters = PostprocessParameters(quality_level=quality, mask_erosion_px=mask, edge_erosion_px=edge, **darts)
    ensembled, level = scene(arrays["in_probabilities"], arrays["in_quality"])
    if chunks:
        ensembled, level = ensembled.chunk(chunks), level.chunk(chunks)
    product = postprocess(ensembled, level, parameters)
    assert bool(product.chunks) == bool(chunks)
    contracts.validate(product, "postprocessed")
    key = f"q{quality}_m{mask}_e{edge}"
    np.testing.assert_array_equal(product["extent"], arrays[f"out_extent_{key}"])
    np.testing.assert_array_equal(product["binarized_segmentation"], arrays[f"out_bin_{key}"])
    probabilities = arrays[f"out_prob_{key}"]
    expected = np.where(np.isnan(probabilities), 255, np.rint(np.nan_to_num(probabilities) * 100))
    np.testing.assert_array_equal(product["probabilities_percent"], expected)


@pytest.mark.parametrize("rows", [None, 23])
def test_touching_objects_are_removed_as_documented(arrays, rows: int | None) -> None:  # type: ignore[no-untyped-def]
    ensembled, level = scene(arrays["in_probabilities"], arrays["in_quality"])
    if rows:
        ensembled = ensembled.chunk({"y": rows})
    product = postprocess(ensembled, level)
    np.testing.assert_array_equal(product["binarized_segmentation"], arrays["out_binarize_alone_removes_touching"])


def test_the_edge_is_kept_from_only_as_asked() -> None:
    ensembled, level = scene(np.zeros((30, 40)))
    extents = {
        edge: int(
            postprocess(ensembled, level, PLAIN.model_copy(update={"mask_erosion_px": 4, "edge_erosion_px": edge}))[
                "extent"
            ].sum()
        )
        for edge in (None, 0, 1, 20)
    }
    assert extents == {None: 22 * 32, 0: 30 * 40, 1: 28 * 38, 20: 0}


def test_an_object_beside_missing_probability_is_known_in_part_only() -> None:
    probabilities = np.zeros((12, 30))
    probabilities[2:6, 2:6] = probabilities[2:6, 10:14] = 0.9
    probabilities[3, 6] = np.nan
    parameters = PLAIN.model_copy(update={"quality_level": 0})
    ensembled, level = scene(probabilities)
    found = postprocess(ensembled, level, parameters)["binarized_segmentation"].values
    assert not found[:, :8].any()
    assert found[2:6, 10:14].all()


@pytest.mark.parametrize(("least", "kept"), [(0, 21), (1, 21), (2, 20), (5, 16), (16, 16), (17, 0)])
def test_objects_below_the_least_size_are_removed(least: int, kept: int) -> None:
    probabilities = np.zeros((20, 20))
    probabilities[2:6, 2:6] = probabilities[10, 2:6] = probabilities[15, 15] = 0.8
    ensembled, level = scene(probabilities)
    parameters = PLAIN.model_copy(update={"min_object_px": least})
    assert int(postprocess(ensembled, level, parameters)["binarized_segmentation"].sum()) == kept


def test_the_threshold_itself_is_no_slump() -> None:
    ensembled, level = scene(np.array([[0.5, 0.5000001, 0.49]]))
    assert postprocess(ensembled, level, PLAIN)["binarized_segmentation"].values.tolist() == [[0, 1, 0]]


def test_more_objects_than_a_byte_counts() -> None:
    probabilities = np.zeros((120, 120))
    probabilities[1::3, 1::3] = 0.9
    ensembled, level = scene(probabilities)
    assert int(postprocess(ensembled, level, PLAIN)["binarized_segmentation"].sum()) == 1600


def test_nothing_given_is_changed() -> None:
    ensembled, level = scene(np.random.default_rng(0).random((30, 30)))
    copies = ensembled.copy(deep=True), level.copy(deep=True)
    product = postprocess(ensembled, level)
    xr.testing.assert_identical(ensembled, copies[0])
    xr.testing.assert_identical(level, copies[1])
    assert product.attrs["scene"] == "s"
    assert product.rio.crs == ensembled.rio.crs


def test_quality_of_another_grid_is_refused() -> None:
    ensembled, level = scene(np.zeros((10, 10)))
    with pytest.raises(PostprocessError, match=r"s: .* lie on different grids"):
        postprocess(ensembled, level[1:])
    with pytest.raises(PostprocessError, match="different grids"):
        postprocess(ensembled, level.assign_coords(x=level["x"] + 3))


def test_probabilities_are_needed() -> None:
    ensembled, level = scene(np.zeros((10, 10)))
    with pytest.raises(PostprocessError, match="expected the variable probabilities, received spread"):
        postprocess(ensembled.rename(probabilities="spread"), level)


@pytest.mark.parametrize(
    "wrong", [{"threshold": 1.5}, {"quality_level": 3}, {"mask_erosion_px": -1}, {"erosion": 3}, {"compat": "x"}]
)
def test_parameters_are_bounded_and_known(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        PostprocessParameters(**wrong)
