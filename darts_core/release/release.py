"""The release: all slumps of a season, each once, over scenes and tiles, as files to publish."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from darts_core.release.cells import Cell, Spill, cells_of, plane, touched
from darts_core.release.coverage import TILE_SIDE, Look, count_looks, spill_look, write_coverage
from darts_core.release.errors import ReleaseError
from darts_core.release.lineage import NAME, RELEASE, PreviousRelease, assign, named, retired
from darts_core.release.matching import groups, matched
from darts_core.release.merging import ORDER, detections_of, dissolve
from darts_core.release.parameters import ReleaseParameters
from darts_core.release.pictures import Overview
from darts_core.release.stac import PARQUET, Catalogue, check_season
from darts_core.release.tiles import nothing, read_tiles, write_empty, write_tile
from darts_core.release.webmap import write_map
from darts_core.vectors.schema import RELEASE_SCHEMA, frame_of

if TYPE_CHECKING:
    import geopandas as gpd

SLUMPS, PACKAGE, COVERAGE = "slumps.parquet", "slumps.gpkg", "coverage.tif"
MAP, THUMBNAIL, RETIRED = "map.html", "thumbnail.png", "retired.parquet"
_ASSETS = (
    ("parquet", SLUMPS, PARQUET),
    ("gpkg", PACKAGE, "application/geopackage+sqlite3"),
    ("coverage", COVERAGE, "image/tiff; application=geotiff; profile=cloud-optimized"),
    ("map", MAP, "text/html"),
    ("thumbnail", THUMBNAIL, "image/png"),
    ("retired", RETIRED, PARQUET),
)
"""Key, name and media type of each file in the Collection."""


@dataclass(frozen=True, slots=True)
class SceneDetections:
    """What was found in one scene, and where it was looked for."""

    polygons: gpd.GeoDataFrame
    """Columns as in `SLUMP_SCHEMA`, in any CRS; may have no row."""
    look: Look | None = None
    """None where nobody knows; then of every scene of a release."""


def write_release(
    scenes: Iterable[SceneDetections],
    folder: Path,
    season: str,
    parameters: ReleaseParameters | None = None,
    previous: PreviousRelease | None = None,
    *,
    cell_m: float = 65_536.0,
) -> None:
    """Write the release of a season into an empty folder.

    Detections of different scenes that overlap by `match_share` or more are one slump, also through a third: the
    slump is their union. Detections of one scene are never matched with each other directly, but through a detection
    of another scene they may become one slump. Neighbouring tiles and repeated acquisitions are treated alike, except
    that scenes of one sensor within ten minutes are one observation (`looks_at`).

    Scenes are read once, one at a time; what follows holds one cell or one tile of the Arctic, and eight bytes or a
    name for each id of a previous release and each detection at the border of a cell. Nothing but time depends on
    `cell_m`, and nothing on the order of scenes.

    The folder then holds `slumps.parquet/` (GeoParquet 1.1, a file a tile, columns of `RELEASE_SCHEMA`),
    `slumps.gpkg`, `map.html`, `thumbnail.png`, `collection.json` with `items/`, `coverage.tif` where extents are
    given (uint16, 320 m: looks, first and last day), and `retired.parquet` after a previous release.

    Args:
        scenes: polygons and extents; each scene once.
        folder: where the files go; temporary ones lie in it too meanwhile.
        season: year of the release, four digits.
        previous: the release whose slumps keep their ids.
        cell_m: side of a cell that is matched at once, metres.

    Raises:
        SchemaError: polygons with other columns.
        ReleaseError: a detection or scene given twice, extents of some scenes only, or no season.
    """
    parameters = parameters or ReleaseParameters()
    check_season(season)
    with tempfile.TemporaryDirectory(prefix=".release-", dir=folder) as scratch:
        work = _Work(Path(scratch), parameters.match_share, cell_m)
        work.gather(scenes)
        work.merge(previous)
        publisher = _Publisher(folder, season, parameters)
        for cell, slumps in work.finished():
            publisher.add(cell, slumps)
        publisher.finish(work.extents, previous, work.scenes)


def merge_scenes(frames: Iterable[gpd.GeoDataFrame], parameters: ReleaseParameters | None = None) -> gpd.GeoDataFrame:
    """The slumps of a few scenes, each once, in memory and without files; else as `write_release` merges them.

    Returns:
        One row a slump, columns as in `RELEASE_SCHEMA`, also without rows; valid polygons in EPSG:3413, sorted by id.

    Raises:
        SchemaError: a frame has other columns.
        ReleaseError: the same detection is given twice.
    """
    import pandas as pd

    gathered = [detections_of(frame, number) for number, frame in enumerate(frames)]
    found = [frame for frame in gathered if len(frame)]
    if not found:
        return nothing()
    detections, group = matched(
        pd.concat(found), ORDER, apart="scene", share=(parameters or ReleaseParameters()).match_share
    )
    return _finished(dissolve(detections, group)).sort_values("id", ignore_index=True)


class _Work:
    """The stages of a release, each from one spill on disk to the next."""

    def __init__(self, scratch: Path, share: float, cell_m: float) -> None:
        self._scratch, self._share, self._cell_m = scratch, share, cell_m
        self._detections = Spill(scratch / "detections")
        self.extents = Spill(scratch / "extents")
        self._slumps = Spill(scratch / "slumps")
        self.scenes = 0
        self._looked = False

    def gather(self, scenes: Iterable[SceneDetections]) -> None:
        """Spill the detections of every scene by cell, and its extent by tile."""
        seen: set[str] = set()
        for scene in scenes:
            look = scene.look
            if self.scenes and self._looked is not (look is not None):
                raise ReleaseError("Expected the extents of all scenes or of none, received those of some")
            self._looked = look is not None
            if look is not None:
                if look.scene in seen:
                    raise ReleaseError(f"The scene {look.scene} is given twice; pass each scene once")
                seen.add(look.scene)
                spill_look(look, self.extents)
            found = detections_of(scene.polygons, self.scenes)
            self._detections.add(found, *touched(found.bounds.to_numpy(), self._cell_m))
            self.scenes += 1

    def merge(self, previous: PreviousRelease | None) -> None:
        """Dissolve what is one slump, and give it an id; spill slumps by tile."""
        if previous is None:
            for slumps in self._dissolved():
                self._place(slumps)
            return
        both = Spill(self._scratch / "both")
        previous.spill(both, self._cell_m)
        for slumps in self._dissolved():
            both.add(named(slumps, new=True), *touched(slumps.bounds.to_numpy(), self._cell_m))
        used = previous.used()
        for frame, group in self._groups(both, "lineage", order=(NAME,), apart=RELEASE):
            self._place(assign(frame, group, self._share, used))

    def finished(self) -> Iterator[tuple[Cell, gpd.GeoDataFrame]]:
        """The slumps of each tile, with looks."""
        for cell in self._slumps.cells():
            slumps = self._slumps.read(cell)
            yield cell, _finished(slumps, count_looks(slumps, self.extents.read(cell)) if self._looked else None)

    def _dissolved(self) -> Iterator[gpd.GeoDataFrame]:
        for detections, group in self._groups(self._detections, "matching", order=ORDER, apart="scene"):
            yield dissolve(detections, group)

    def _groups(self, spill: Spill, name: str, **columns: Any) -> Iterator[tuple[gpd.GeoDataFrame, np.ndarray]]:
        return groups(spill, self._cell_m, self._scratch / name, share=self._share, **columns)

    def _place(self, slumps: gpd.GeoDataFrame) -> None:
        import shapely

        points = shapely.get_coordinates(shapely.point_on_surface(slumps.geometry.to_numpy()))
        self._slumps.add(slumps, np.arange(len(slumps)), cells_of(points, TILE_SIDE))


def _finished(slumps: gpd.GeoDataFrame, looks: np.ndarray | None = None) -> gpd.GeoDataFrame:
    """Slumps with all columns of `RELEASE_SCHEMA`, in its order."""
    known = np.zeros(len(slumps), np.int64) if looks is None else looks
    with np.errstate(divide="ignore"):
        rate = np.where(known > 0, slumps["observations"].to_numpy() / known, np.nan)
    columns = {
        "status": "new",
        "previous_ids": "",
        **{str(name): slumps[name].to_numpy() for name in slumps.columns},
        "looks": known,
        "detection_rate": rate,
    }
    return frame_of(columns, slumps.geometry.to_numpy(), plane(), RELEASE_SCHEMA)


class _Publisher:
    """Writes the files of a release from slumps and extents by tile."""

    def __init__(self, folder: Path, season: str, parameters: ReleaseParameters) -> None:
        self._folder, self._season, self._parameters = folder, season, parameters
        self._dataset = folder / SLUMPS
        self._dataset.mkdir()
        self._catalogue = Catalogue(folder, season, parameters)
        self._overview = Overview()
        self._count, self._area = 0, 0.0

    def add(self, cell: Cell, slumps: gpd.GeoDataFrame) -> None:
        """Write the slumps of one tile."""
        write_tile(slumps, cell, self._dataset)
        first, last = slumps["first_seen"].min(), slumps["last_seen"].max()
        self._catalogue.add(cell, len(slumps), first.to_pydatetime(), last.to_pydatetime())
        self._overview.slumps(cell, slumps.bounds.to_numpy())
        self._count += len(slumps)
        self._area += float(slumps["area_m2"].sum())

    def finish(self, extents: Spill, previous: PreviousRelease | None, scenes: int) -> None:
        """Write what is made of all tiles, and the Collection last."""
        import pyarrow.parquet as pq

        from darts_core.vectors.files import write_geopackage

        if not self._count:
            write_empty(self._dataset)
        frames = (frame for _, frame in read_tiles(self._dataset))
        write_geopackage(frames if self._count else nothing(), self._folder / PACKAGE)
        write_coverage(extents, self._folder / COVERAGE, self._overview.look)
        if previous is not None:
            table = retired(previous, sorted(self._dataset.glob("*.parquet")), self._season)
            pq.write_table(table, self._folder / RETIRED, compression="zstd")
        self._overview.picture().save(self._folder / THUMBNAIL, optimize=True)
        write_map(
            read_tiles(self._dataset),
            self._folder / MAP,
            title=f"{self._parameters.title}, {self._season}",
            slumps=self._count,
            bounds=self._overview.bounds,
            ground=self._overview.ground(),
            ui_address=self._parameters.ui_address,
        )
        summaries = {"slumps": [self._count], "area_m2": [self._area], "scenes": [scenes]}
        self._catalogue.finish(summaries, [file for file in _ASSETS if (self._folder / file[1]).exists()])
