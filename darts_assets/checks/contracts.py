"""Blocking checks: what departs from its contract is not built upon."""

import warnings

import dagster as dg

from darts_assets.partitions import SCENES
from darts_assets.types import Dataset, GeoDataFrame
from darts_core.contracts import ContractError, validate

# partitioned checks are in preview; the exact pin of dagster is what makes them safe to use
warnings.filterwarnings("ignore", category=dg.PreviewWarning)


@dg.asset_check(asset="preprocessed", blocking=True, partitions_def=SCENES)
def preprocessed_keeps_its_contract(preprocessed: Dataset) -> dg.AssetCheckResult:
    """Variables, dtypes, nodata, attributes and ranges are those of the table."""
    try:
        validate(preprocessed, "preprocessed")
    except ContractError as departures:
        return dg.AssetCheckResult(passed=False, description=str(departures))
    return dg.AssetCheckResult(passed=True, description="As the contract says")


@dg.asset_check(asset="slump_polygons", blocking=True, partitions_def=SCENES)
def slump_polygons_are_valid(slump_polygons: GeoDataFrame) -> dg.AssetCheckResult:
    """Every polygon is valid, not empty, and has an area."""
    wrong = slump_polygons[
        ~slump_polygons.geometry.is_valid | slump_polygons.geometry.is_empty | (slump_polygons["area_m2"] <= 0)
    ]
    return dg.AssetCheckResult(
        passed=wrong.empty, description=f"{len(wrong)} of {len(slump_polygons)} polygons are not valid"
    )
