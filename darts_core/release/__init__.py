"""The release of a season: slumps of all scenes merged, with ids that last, coverage, and files to publish."""

from darts_core.imports import on_first_use

__getattr__ = on_first_use(
    __name__,
    {
        "Look": "coverage",
        "PreviousRelease": "lineage",
        "ReleaseError": "errors",
        "ReleaseParameters": "parameters",
        "SceneDetections": "release",
        "extent_of": "coverage",
        "merge_scenes": "release",
        "read_extent": "coverage",
        "release_files": "files",
        "release_scenes": "files",
        "write_release": "release",
    },
)
