"""What departs from its contract is not built upon."""

import dagster as dg

from darts_assets.checks.check import Checked, blocking
from darts_core.contracts import ContractError, validate


@blocking
def preprocessed_keeps_its_contract(checked: Checked) -> dg.AssetCheckResult:
    """Variables, dtypes, nodata, attributes and ranges are those of the table."""
    try:
        validate(checked.product, "preprocessed")
    except ContractError as departures:
        return dg.AssetCheckResult(passed=False, description=str(departures))
    return dg.AssetCheckResult(passed=True, description="As the contract says")


@blocking
def slump_polygons_are_valid(checked: Checked) -> dg.AssetCheckResult:
    """Every polygon is valid, not empty, and has an area."""
    frame = checked.product
    wrong = frame[~frame.geometry.is_valid | frame.geometry.is_empty | (frame["area_m2"] <= 0)]
    return dg.AssetCheckResult(passed=wrong.empty, description=f"{len(wrong)} of {len(frame)} polygons are not valid")
