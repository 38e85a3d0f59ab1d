"""`scene_overview`: how far every scene is, at one look."""

import dagster as dg

from io_managers.base import StoreResource, explained


@dg.asset(
    owners=["team:darts"],
    group_name="g0_overview",
    kinds={"markdown"},
    tags={"darts/of": "all"},
    code_version="1",
)
@explained()
def scene_overview(context: dg.AssetExecutionContext, store: StoreResource) -> dg.MaterializeResult:
    """Start here: a map of all scenes by state, progress a season, and what failed and why, with links to each."""
    from darts_assets.failures import reasons
    from darts_assets.overview import FAILED_SHOWN, draw_map, failed_list, season_table, totals
    from darts_assets.states import scene_states

    states = scene_states(context.instance)
    picture, unplaced = draw_map(store.open(), states)
    metadata: dict[str, dg.MetadataValue | int] = {
        "map": dg.MetadataValue.md(f"![Scenes by state]({picture})"),
        "progress by season": dg.MetadataValue.md(season_table(states)),
        "failed, and why": dg.MetadataValue.md(failed_list(states, reasons(context.instance, states, FAILED_SHOWN))),
        "scenes not on the map": unplaced,
        # numbers of their own, so that the UI draws them over time
        **totals(states),
    }
    return dg.MaterializeResult(metadata=metadata)
