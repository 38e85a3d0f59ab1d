"""A pipeline of one's own, without Dagster: each step is a function from a dataset to a new one.

    python docs/examples/custom_pipeline.py SCENES CHECKPOINTS DEM OUT

The cells (# %%) open as a notebook in VS Code, PyCharm, Spyder and Jupytext. For a first look, `make demo` leaves
scenes and elevation in .darts/demo-world, and checkpoints below .darts/products/segmentation_model.
"""

# %% What goes in and where results go
import sys
from pathlib import Path

import pandas as pd
import xarray as xr

from darts_core.auxiliary import AuxiliarySources
from darts_core.ensemble import ensemble
from darts_core.postprocessing import PostprocessParameters, postprocess
from darts_core.preprocessing.preprocess import preprocess
from darts_core.scenes import find_scenes, read_scene
from darts_core.segmentation import Segmenter
from darts_core.vectors.files import write_geopackage
from darts_core.vectors.polygons import Origin, vectorize

scenes_folder, checkpoints, dem, out = sys.argv[1:]

# %% A model is loaded once, and then sees as many scenes as there are
segmenters = [Segmenter.load(path) for path in sorted(Path(checkpoints).glob("*.pt"))]
auxiliary = AuxiliarySources(dem=dem)


# %% A step of our own, between two of darts_core: nobody looks for slumps in water
def without_water(scene: xr.Dataset) -> xr.Dataset:
    """Water reflects less in the near infrared than in green; there the quality becomes 0, invalid."""
    water = scene["nir"] < scene["green"]
    quality = scene["quality_level"].where(~water, 0).astype("uint8")
    return scene.assign(quality_level=quality.assign_attrs(scene["quality_level"].attrs))


# %% The pipeline reads as what it does
def slumps(scene) -> pd.DataFrame:
    """The thaw slumps of one scene as polygons."""
    dataset = without_water(preprocess(read_scene(scene), auxiliary))
    probabilities = xr.merge([segmenter.inference(dataset) for segmenter in segmenters])
    mask = postprocess(ensemble(probabilities), dataset["quality_level"], PostprocessParameters(min_object_px=16))
    return vectorize(mask, Origin.of(dataset.attrs), dataset["quality_level"])


# %% One scene after the other; what it found is a GeoDataFrame like any other
for scene in find_scenes(scenes_folder).scenes:
    found = slumps(scene)
    print(f"{scene.key}: {len(found)} slumps, {found['area_m2'].sum() / 1e4:.1f} ha")
    write_geopackage(found, Path(out, f"{scene.key}.gpkg"))
