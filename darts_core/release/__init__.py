"""The release of a season: slumps of all scenes merged, with ids that last, coverage, and files to publish."""

from darts_core.release.coverage import Look, extent_of, read_extent
from darts_core.release.errors import ReleaseError
from darts_core.release.files import release_files, release_scenes
from darts_core.release.lineage import PreviousRelease
from darts_core.release.parameters import ReleaseParameters
from darts_core.release.release import SceneDetections, merge_scenes, write_release

__all__ = [
    "Look",
    "PreviousRelease",
    "ReleaseError",
    "ReleaseParameters",
    "SceneDetections",
    "extent_of",
    "merge_scenes",
    "read_extent",
    "release_files",
    "release_scenes",
    "write_release",
]
