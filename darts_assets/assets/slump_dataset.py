"""`slump_dataset`: the release of a season."""

import dagster as dg

from darts_assets.materialize import materialize
from darts_assets.partitions import SEASONS, season_of
from darts_assets.stored import collected
from darts_assets.summaries import summarize_polygons
from darts_core.store import MissingProduct
from io_managers.base import StoreResource
from io_managers.geoparquet import GeoParquetIOManager


@dg.asset(
    partitions_def=SEASONS,
    deps=[collected("slump_polygons")],
    owners=["team:darts"],
    group_name="g4_slumps",
    kinds={"geoparquet"},
    tags={"darts/of": "season"},
    io_manager_key="geoparquet",
    code_version="1",
    metadata={"contract": "release"},
)
def slump_dataset(context: dg.AssetExecutionContext, store: StoreResource) -> dg.MaterializeResult:
    """All thaw slumps of a season, merged over scenes and tiles: GeoParquet, GeoPackage and a STAC Collection."""
    from darts_core.vectors.release import merge_scenes

    products, season = store.open(), context.partition_key
    keys = [key for key in products.partitions("slump_polygons") if season_of(key) == season]
    if not keys:
        raise MissingProduct(f"No scene of season {season} has slump_polygons yet; process its scenes first")
    versions = {key: products.current("slump_polygons", key) for key in keys}
    polygons = GeoParquetIOManager(store=store)
    return materialize(
        context,
        products,
        inputs={key: version.version for key, version in versions.items()},
        parameters={},
        make=lambda: merge_scenes(polygons.read(version, None) for version in versions.values()),
        summarize=lambda frame: {**summarize_polygons(frame), "scenes": len(keys)},
    )
