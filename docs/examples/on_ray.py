"""The same steps on Ray: scenes are prepared side by side, and the models stay loaded in an actor.

    python docs/examples/on_ray.py SCENES CHECKPOINTS DEM OUT

On a cluster, start it with RAY_ADDRESS set; on one machine it starts Ray by itself. Ray is not among what darts-assets
installs for its users: pip install ray.
"""

# %%
import os
import sys
from pathlib import Path

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
import xarray as xr

from darts_core.auxiliary import AuxiliarySources
from darts_core.ensemble import ensemble
from darts_core.postprocessing import postprocess
from darts_core.preprocessing.preprocess import preprocess
from darts_core.scenes import Scene, find_scenes, read_scene
from darts_core.segmentation import Segmenter
from darts_core.vectors.files import write_geopackage
from darts_core.vectors.polygons import Origin, vectorize

scenes_folder, checkpoints, dem, out = sys.argv[1:]
ray.init(include_dashboard=False, log_to_driver=False)


# %% Tasks without a state: any worker takes them
@ray.remote
def prepared(scene: Scene, auxiliary: AuxiliarySources) -> xr.Dataset:
    """A scene's reflectance, indices, terrain and masks."""
    return preprocess(read_scene(scene), auxiliary).load()


@ray.remote
def polygons(dataset: xr.Dataset, probabilities: xr.Dataset):
    """The slumps of a scene."""
    quality = dataset["quality_level"]
    return vectorize(postprocess(ensemble(probabilities), quality), Origin.of(dataset.attrs), quality)


# %% An actor where a model is loaded: one for each GPU, with @ray.remote(num_gpus=1) and device="cuda"
@ray.remote
class Segmentation:
    """Models that stay loaded from scene to scene."""

    def __init__(self, paths: list[Path], device: str = "cpu") -> None:
        self.segmenters = [Segmenter.load(path, device=device) for path in paths]

    def probabilities(self, dataset: xr.Dataset) -> xr.Dataset:
        """What each model says of a scene."""
        return xr.merge([segmenter.inference(dataset) for segmenter in self.segmenters])


# %% Nothing is computed here: the calls give promises, and the scenes flow from worker to worker
segmentation = Segmentation.remote(sorted(Path(checkpoints).glob("*.pt")))
promised = {}
for scene in find_scenes(scenes_folder).scenes:
    dataset = prepared.remote(scene, AuxiliarySources(dem=dem))
    promised[polygons.remote(dataset, segmentation.probabilities.remote(dataset))] = scene.key

# %% Results are written as they come; a scene that failed raises its own error
while promised:
    (done,), _ = ray.wait(list(promised), num_returns=1)
    key, found = promised.pop(done), ray.get(done)
    print(f"{key}: {len(found)} slumps, {found['area_m2'].sum() / 1e4:.1f} ha")
    write_geopackage(found, Path(out, f"{key}.gpkg"))
