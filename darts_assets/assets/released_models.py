"""`released_models`: the segmentation models that scenes are run through, as one input that all scenes share."""

import dagster as dg

released_models = dg.AssetSpec(
    "released_models",
    description=(
        "The segmentation models that are there: those trained here, and the checkpoints that someone brought. The "
        "sensor 'watch_models' records each change; what was made with other models is then out of date."
    ),
    group_name="models",
    kinds={"pytorch"},
    owners=["team:darts"],
    tags={"darts/of": "model"},
)
