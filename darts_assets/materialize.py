"""What every asset does around its verb: name the product by what it is made from, and make it once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import dagster as dg

from darts_assets.batches import SCENES_A_RUN
from darts_assets.partitions import MODELS, SCENES
from darts_core.store import DamagedProduct, Store, Version, identity
from darts_core.vectors.schema import Column
from io_managers.base import Made, Summary, shown, version_of

SCENE_ASSET: dict[str, Any] = {
    "partitions_def": SCENES,
    "backfill_policy": dg.BackfillPolicy.multi_run(SCENES_A_RUN),
    "owners": ["team:darts"],
    "tags": {"darts/of": "scene"},
}
"""What all assets that are per scene have in common."""

MODEL_ASSET: dict[str, Any] = {
    "partitions_def": MODELS,
    "owners": ["team:darts"],
    "tags": {"darts/of": "model"},
    "group_name": "models",
}
"""What all assets that are per segmentation model have in common."""


def column_schema(columns: Iterable[Column]) -> dict[str, dg.TableSchema]:
    """Metadata by which the UI shows the columns of a table: name, type, unit and meaning."""
    described = [
        dg.TableColumn(
            column.name, column.dtype, f"{column.meaning} ({column.unit})" if column.unit else column.meaning
        )
        for column in columns
    ]
    return {"dagster/column_schema": dg.TableSchema([*described, dg.TableColumn("geometry", "geometry", "Outline")])}


def carried(product: Any) -> dict[str, str]:
    """What a raster says of the models behind it, for the raster that is made from it."""
    return {"model_digests": product.attrs["model_digests"]}


def materialize(
    context: dg.AssetExecutionContext,
    store: Store,
    *,
    inputs: Mapping[str, Any],
    parameters: Mapping[str, Any],
    make: Callable[[], Any],
    summarize: Callable[[Any], Summary],
    made_from: Mapping[str, str] | None = None,
) -> dg.MaterializeResult[Any]:
    """The result of an asset: what `make` returns under its identity, or a note that it is there already.

    Args:
        context: of the asset, which has one partition.
        store: where its product goes.
        inputs: products that an IO manager read, or versions as text, by name.
        parameters: everything else that changes the result; what JSON can hold.
        make: computes the value to store; not called where the product exists.
        summarize: what people should see, from the stored product.
        made_from: versions and digests that stand behind `inputs`, where these are others.
    """
    asset, partition = context.asset_key.path[-1], context.partition_key
    versions = {name: value if isinstance(value, str) else version_of(value) for name, value in inputs.items()}
    version = identity(
        asset,
        code_version=str(context.assets_def.specs_by_key[context.asset_key].code_version),
        inputs=versions,
        parameters=parameters,
    )
    whole = _whole(context, store.committed(asset, partition, version))
    if whole is not None:
        context.log.info(f"{asset} of {partition} is there already: version {version}")
        store.promote(whole)
        return dg.MaterializeResult(metadata={**shown(whole), "cache_hit": True}, data_version=dg.DataVersion(version))
    return dg.MaterializeResult(
        value=Made(version, make(), summarize, made_from or versions),
        metadata={"cache_hit": False},
        data_version=dg.DataVersion(version),
    )


def _whole(context: dg.AssetExecutionContext, version: Version | None) -> Version | None:
    try:
        if version is not None:
            version.check()
    except DamagedProduct as damage:
        context.log.warning(f"{damage} — making it again")
        return None
    return version
