"""Terrain features of a digital elevation model.

Pure functions of one array; `darts_core.preprocessing.elevation` runs them block by block with the neighbourhood that
each needs. A NaN in the elevation reaches exactly the cells that cannot be computed without it, and the bits do not
depend on how a scene is cut into blocks.
"""

from darts_core.preprocessing.terrain.north import convergence
from darts_core.preprocessing.terrain.position import disk, reach, relative_elevation
from darts_core.preprocessing.terrain.ruggedness import dissection_index, ruggedness_index, vector_ruggedness
from darts_core.preprocessing.terrain.surface import SURFACE_REACH, aspect, curvature, hillshade, slope

__all__ = [
    "SURFACE_REACH",
    "aspect",
    "convergence",
    "curvature",
    "disk",
    "dissection_index",
    "hillshade",
    "reach",
    "relative_elevation",
    "ruggedness_index",
    "slope",
    "vector_ruggedness",
]
