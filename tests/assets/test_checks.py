"""What the checks of a scene and of a release say, where all is well and where it is not."""

from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support.demo import Demo

from darts_assets.checks.check import Checked
from darts_assets.checks.neighbours import (
    ensemble_does_not_drift,
    neighbours,
    slump_polygons_are_as_many_as_nearby,
    stability_index,
)
from darts_assets.checks.releases import slump_dataset_is_consistent
from darts_assets.checks.scenes import (
    preprocessed_is_observed,
    probabilities_cover_what_was_observed,
    segmentation_mask_was_looked_at,
)
from darts_assets.definitions import defs
from darts_core.release.verifying import faults_of_release
from darts_core.store import Store, Version, identity

KEYS = [f"T08WMA_{year}0801T210019_S2A" for year in (2019, 2020, 2021)]
WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


@pytest.fixture
def products(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def made(store: Store, asset: str, key: str, **summary: Any) -> Checked:
    """A product of which only the summary matters."""
    # what is summarized otherwise is another version: of one version the first manifest stands
    with store.draft(asset, key, identity(asset, code_version="1", inputs={}, parameters=summary)) as draft:
        (draft.folder / "it").write_text("it")
        version = draft.commit(lambda published: summary)
    return Checked(version, lambda: pytest.fail("the product is not to be read"))


def histogram(peak: int) -> dict[str, dict[str, list[int]]]:
    return {"histograms": {"probabilities": [1000 if bin_ == peak else 10 for bin_ in range(50)]}}


class TestScenes:
    """How much of a scene can be used."""

    @pytest.mark.parametrize(("share", "passed"), [(0.99, True), (0.1, True), (0.02, False)])
    def test_a_scene_that_was_hardly_observed_is_told(self, products: Store, share: float, passed: bool) -> None:
        result = preprocessed_is_observed.result(
            made(products, "preprocessed", KEYS[0], **{"share of valid pixels": share})
        )
        assert (result.passed, result.severity) == (passed, WARN)
        assert f"{share:.1%}" in result.description

    @pytest.mark.parametrize(("share", "passed"), [(0.5, True), (0.01, False)])
    def test_a_scene_on_which_hardly_anything_was_looked_for_is_told(
        self, products: Store, share: float, passed: bool
    ) -> None:
        checked = made(products, "segmentation_mask", KEYS[0], **{"share looked at": share})
        assert segmentation_mask_was_looked_at.result(checked).passed is passed

    @pytest.mark.parametrize(("nodata", "passed"), [(0.3, True), (0.31, True), (0.5, False)])
    def test_a_model_without_probabilities_where_was_observed_is_named(
        self, products: Store, nodata: float, passed: bool
    ) -> None:
        made(products, "preprocessed", KEYS[0], **{"share of valid pixels": 0.7})
        shares = {"one share of nodata": 0.3, "other share of nodata": nodata}
        result = probabilities_cover_what_was_observed.result(
            made(products, "segmentation_probabilities", KEYS[0], **shares)
        )
        assert result.passed is passed
        assert ("other lacks 20.0%" in result.description) is not passed


class TestNeighbours:
    """A scene beside the others of its tile."""

    def test_earlier_seasons_come_first_and_other_tiles_not_at_all(self, products: Store) -> None:
        others = [*KEYS, "T08WMA_20210701T000000_S2A", "T08WMA_20220801T000000_S2A", "T08WMB_20200801T000000_S2A"]
        for key in [*others, "T08WMA_x_20200801T000000_S2A"]:
            made(products, "ensemble", key, of=key)
        found = [summary["of"] for summary in neighbours(products, "ensemble", KEYS[2])]
        assert found == [KEYS[1], KEYS[0], "T08WMA_20210701T000000_S2A", "T08WMA_20220801T000000_S2A"]

    def test_probabilities_like_those_before_pass_and_others_are_told(self, products: Store) -> None:
        for key in KEYS[:2]:
            made(products, "ensemble", key, **histogram(1))
        alike = ensemble_does_not_drift.result(made(products, "ensemble", KEYS[2], **histogram(1)))
        assert alike.passed
        assert alike.metadata["population stability index"].value == pytest.approx(0, abs=1e-9)
        assert alike.metadata["scenes"].value == 2
        other = ensemble_does_not_drift.result(made(products, "ensemble", KEYS[2], **histogram(40)))
        assert (other.passed, other.severity) == (False, WARN)

    def test_the_first_scene_of_a_tile_has_nothing_to_drift_from(self, products: Store) -> None:
        made(products, "ensemble", KEYS[0])  # made before histograms were kept
        assert ensemble_does_not_drift.result(made(products, "ensemble", KEYS[1], **histogram(1))).passed

    @pytest.mark.parametrize(
        ("others", "here", "passed", "severity"),
        [
            ([], 100_000, True, WARN),
            ([30, 20], 25, True, WARN),
            ([30, 20], 0, False, WARN),
            ([3, 2], 0, True, WARN),
            ([30, 20], 500, True, WARN),
            ([30, 20], 601, False, ERROR),
        ],
    )
    def test_none_where_there_were_many_is_odd_and_an_explosion_is_wrong(
        self, products: Store, others: list[int], here: int, passed: bool, severity: dg.AssetCheckSeverity
    ) -> None:
        for key, polygons in zip(KEYS, others, strict=False):
            made(products, "slump_polygons", key, polygons=polygons)
        result = slump_polygons_are_as_many_as_nearby.result(made(products, "slump_polygons", KEYS[2], polygons=here))
        assert (result.passed, result.severity) == (passed, severity)


COUNTS = arrays(float, 50, elements=st.floats(0, 1e6))


class TestStabilityIndex:
    """What every measure of distance has."""

    @given(COUNTS, COUNTS)
    def test_it_is_symmetric_and_never_negative(self, one: np.ndarray, other: np.ndarray) -> None:
        assert stability_index(one, other) == pytest.approx(stability_index(other, one))
        assert stability_index(one, other) >= -1e-12

    @given(COUNTS)
    def test_it_is_zero_for_the_same_shares(self, counts: np.ndarray) -> None:
        assert stability_index(counts, 3 * counts) == pytest.approx(0, abs=1e-9)

    def test_it_is_that_of_the_definition(self) -> None:
        p, q = np.full(10, 0.1), np.array([0.2, 0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
        floored = np.maximum(q, 1e-4) / np.maximum(q, 1e-4).sum()
        assert stability_index(p, q) == pytest.approx(((p - floored) * np.log(p / floored)).sum())


class TestRelease:
    """The demo's release, as it is and as it should not be."""

    @pytest.fixture
    def release(self, demo: Demo) -> Version:
        (season,) = demo.store.partitions("slump_dataset")
        return demo.store.current("slump_dataset", season)

    def test_what_was_released_is_consistent(self, release: Version) -> None:
        result = slump_dataset_is_consistent.result(Checked(release, lambda: None))
        assert result.passed, result.description

    def test_each_fault_is_told_with_its_tile(self, release: Version, tmp_path: Path) -> None:
        import geopandas as gpd
        from shapely import Polygon

        (name,) = (name for name in release.manifest.objects if name.startswith("slumps.parquet/"))
        coverage = release.fetch("coverage.tif")
        frame = gpd.read_parquet(release.fetch(name))

        def faults(changed: gpd.GeoDataFrame) -> list[str]:
            changed.to_parquet(tmp_path / Path(name).name)
            return faults_of_release([tmp_path / Path(name).name], coverage)

        assert faults(frame) == []
        assert "1 ids that another slump has" in faults(frame.assign(id=[*frame["id"][:-1], frame["id"][0]]))[0]
        assert "column 'looks' is missing" in faults(frame.drop(columns="looks"))[0]
        moved = frame.set_geometry(frame.geometry.translate(5_000_000, 0))
        assert f"{len(frame)} slumps where the coverage says that nobody looked" in faults(moved)[0]
        bowtie = frame.copy()
        bounds = frame.geometry.iloc[0].bounds
        left, bottom, right, top = bounds
        bowtie.loc[0, "geometry"] = Polygon([(left, bottom), (right, top), (right, bottom), (left, top)])
        assert "1 geometries that are not valid" in faults(bowtie)[0]

    def test_the_same_id_in_two_tiles_is_told_too(self, release: Version, tmp_path: Path) -> None:
        (name,) = (name for name in release.manifest.objects if name.startswith("slumps.parquet/"))
        copies = [tmp_path / "x0_y0.parquet", tmp_path / "x0_y1.parquet"]
        for copy in copies:
            copy.write_bytes(release.fetch(name).read_bytes())
        (fault,) = faults_of_release(copies, None)
        assert fault.startswith("x0_y1: ")
        assert "ids that another slump has" in fault


def test_blocking_are_those_that_let_wrong_data_flow_on() -> None:
    checks = {spec.name: spec.blocking for asset in defs.assets or [] for spec in asset.check_specs}
    assert {name for name, blocking in checks.items() if blocking} == {
        "preprocessed_keeps_its_contract",
        "slump_polygons_are_valid",
        "slump_dataset_is_consistent",
    }
    assert {name for name, blocking in checks.items() if not blocking} == {
        "preprocessed_is_observed",
        "probabilities_cover_what_was_observed",
        "ensemble_does_not_drift",
        "segmentation_mask_was_looked_at",
        "slump_polygons_are_as_many_as_nearby",
    }
