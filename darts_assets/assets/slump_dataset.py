"""`slump_dataset`: the release of a season."""

from functools import partial

import dagster as dg
from pydantic import Field

from darts_assets.checks.releases import slump_dataset_is_consistent
from darts_assets.materialize import column_schema, materialize
from darts_assets.partitions import SEASONS, season_of
from darts_assets.products import product
from darts_assets.stored import collected, passed_on, scene_detections
from darts_assets.summaries import summarize_release
from darts_core.release.parameters import ReleaseParameters
from darts_core.store import MissingProduct
from darts_core.vectors.schema import RELEASE_SCHEMA
from io_managers.base import StoreResource


class ReleaseConfig(ReleaseParameters, dg.Config):
    """What the Launchpad offers for `slump_dataset`."""

    previous: str | None = Field(
        default=None,
        description="Season whose release passes its ids on; null: the latest earlier one; none: no release",
    )


@product(
    checks=[slump_dataset_is_consistent],
    partitions_def=SEASONS,
    deps=[collected("slump_polygons"), collected("segmentation_mask")],
    owners=["team:darts"],
    group_name="g4_slumps",
    kinds={"geoparquet"},
    tags={"darts/of": "season"},
    io_manager_key="file",
    code_version="3",
    metadata={"contract": "collection.json", **column_schema(RELEASE_SCHEMA)},
)
def slump_dataset(
    context: dg.AssetExecutionContext, config: ReleaseConfig, store: StoreResource
) -> dg.MaterializeResult:
    """All slumps of a season, each once, with lasting ids and coverage: GeoParquet, GeoPackage, a map, STAC."""
    from darts_core.release import write_release

    products, season = store.open(), context.partition_key
    keys = [key for key in products.partitions("slump_polygons") if season_of(key) == season]
    if not keys:
        raise MissingProduct(f"No scene of season {season} has slump_polygons yet; process its scenes first")
    scenes = scene_detections(store, keys)
    previous = passed_on(products, season, config.previous)
    parameters = ReleaseParameters(**config.model_dump(exclude={"previous"}))
    return materialize(
        context,
        products,
        inputs=scenes.versions | ({"previous": previous.version} if previous else {}),
        parameters=parameters.model_dump(mode="json"),
        make=lambda: partial(
            write_release,
            scenes.read(),
            season=season,
            parameters=parameters,
            previous=previous.release() if previous else None,
        ),
        summarize=summarize_release,
    )
