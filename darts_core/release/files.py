"""A release from files to files."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from darts_core.release.cells import plane
from darts_core.release.coverage import Look
from darts_core.release.errors import ReleaseError
from darts_core.release.lineage import PreviousRelease
from darts_core.release.parameters import ReleaseParameters
from darts_core.release.release import SceneDetections, write_release

if TYPE_CHECKING:
    import geopandas as gpd

_FACTS = ("scene", "sensor", "acquired")


def release_files(
    polygons: Sequence[Path],
    folder: Path,
    season: str,
    parameters: ReleaseParameters | None = None,
    *,
    extents: Path | None = None,
    previous: Path | None = None,
) -> Path:
    """Merge GeoParquet files of polygons into a release, which appears as `folder` when it is whole.

    Args:
        polygons: files with the columns of `SLUMP_SCHEMA`, of one or more scenes each; read one at a time.
        folder: must not exist yet; what it then holds is said at `write_release`.
        season: year of the release, four digits.
        extents: GeoParquet with a row for each scene, also for those in which nothing was found: `scene`, `sensor`,
            `acquired`, and where slumps were looked for. Without it nothing is known of looks and coverage.
        previous: folder of the release whose slumps keep their ids.

    Returns:
        `folder`.

    Raises:
        ReleaseError: the folder exists, a file lacks columns, or scenes and extents do not fit together.
        SchemaError: polygons with other columns.
    """
    looks = None if extents is None else _looks(extents)
    return release_scenes(_scenes(polygons, looks), folder, season, parameters, previous=previous)


def release_scenes(
    scenes: Iterable[SceneDetections],
    folder: Path,
    season: str,
    parameters: ReleaseParameters | None = None,
    *,
    previous: Path | None = None,
) -> Path:
    """As `release_files`, of scenes that come one at a time."""
    if folder.exists():
        raise ReleaseError(f"{folder} exists already; name a folder that does not, or remove it")
    before = None if previous is None else PreviousRelease.in_folder(previous)
    folder.parent.mkdir(parents=True, exist_ok=True)
    hidden = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        write_release(scenes, hidden, season, parameters, before)
        hidden.chmod(0o755)
        os.replace(hidden, folder)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return folder


def _scenes(polygons: Sequence[Path], looks: dict[str, Look] | None) -> Iterator[SceneDetections]:
    waiting = dict(looks or {})
    empty = None
    for path in polygons:
        frame = _read(path)
        if "scene" not in frame:
            raise ReleaseError(f"{path} has no column 'scene'; expected polygons as `slump_polygons` has them")
        empty = frame.iloc[:0] if empty is None else empty
        for scene, rows in frame.groupby("scene"):
            if looks is not None and scene not in waiting:
                known = "twice among the polygons" if scene in looks else "not among the extents"
                raise ReleaseError(f"{path}: the scene {scene} is {known}; expected each scene once in both")
            yield SceneDetections(rows, waiting.pop(scene, None))
    if empty is None:
        raise ReleaseError("Expected at least one file of polygons, received none")
    # where nothing was found was looked at too
    for look in waiting.values():
        yield SceneDetections(empty, look)


def _looks(path: Path) -> dict[str, Look]:
    frame = _read(path)
    missing = [name for name in _FACTS if name not in frame]
    if missing:
        raise ReleaseError(f"{path}: expected the columns {', '.join(_FACTS)}, missing {', '.join(missing)}")
    moved = frame.to_crs(plane())
    twice = frame["scene"][frame["scene"].duplicated()]
    if len(twice):
        raise ReleaseError(f"{path}: the scene {twice.iloc[0]} has more than one row; expected one row a scene")
    rows = zip(*(moved[name] for name in _FACTS), moved.geometry, strict=True)
    return {scene: Look(scene, sensor, acquired.to_pydatetime(), shape) for scene, sensor, acquired, shape in rows}


def _read(path: Path) -> gpd.GeoDataFrame:
    import geopandas as gpd

    try:
        return gpd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise ReleaseError(f"{path} is not a GeoParquet file that can be read: {error}") from error
