"""The demo's world: two scenes of overlapping places, elevation, trends and truth, in one folder."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from darts_core.synthetic.auxiliary import write_auxiliary
from darts_core.synthetic.grid import Bounds, SyntheticError
from darts_core.synthetic.landscape import EXTENT, make_landscape
from darts_core.synthetic.planet import write_planet_order
from darts_core.synthetic.sentinel2 import write_sentinel2_safe
from darts_core.synthetic.truth import write_truth

VERSION = 1
"""Raised when the generator changes what it writes, so that older worlds are not taken for this one's."""
DEFAULT_SEED = 8
MARKER = "world.json"

_WEST, _SOUTH = EXTENT[:2]
SENTINEL2_BOUNDS: Bounds = (_WEST + 1000, _SOUTH + 1700, _WEST + 4200, _SOUTH + 4900)
PLANET_BOUNDS: Bounds = (_WEST + 2800, _SOUTH + 700, _WEST + 5200, _SOUTH + 3100)
_AREA: Bounds = (
    min(SENTINEL2_BOUNDS[0], PLANET_BOUNDS[0]),
    min(SENTINEL2_BOUNDS[1], PLANET_BOUNDS[1]),
    max(SENTINEL2_BOUNDS[2], PLANET_BOUNDS[2]),
    max(SENTINEL2_BOUNDS[3], PLANET_BOUNDS[3]),
)
_SENTINEL2_ACQUIRED = datetime(2023, 8, 14, 20, 58, 51, 24_000, tzinfo=UTC)
_PLANET_ACQUIRED = datetime(2023, 8, 19, 20, 31, 7, 430_000, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class World:
    """Where everything of one synthetic world lies."""

    scenes: Path
    """Folder of the scenes: one `.SAFE` folder and one Planet order."""
    sentinel2: Path
    """The `.SAFE` folder in `scenes`."""
    planet: Path
    """The Planet order's folder in `scenes`."""
    dem: Path
    """GeoTIFF, float32 metres."""
    trends: Path
    """GeoTIFF, uint8 tasselled-cap trends."""
    truth: Path
    """GeoJSON of the slump outlines."""


def make_world(folder: Path, seed: int = DEFAULT_SEED) -> World:
    """Write the demo's world, or find it written.

    One Sentinel-2 scene of 320x320 pixels and one PlanetScope scene of 800x800, five days apart, whose places overlap
    in part; the DEM and the trends of both; the truth. What a whole earlier call with this seed wrote is left
    untouched; what an interrupted call left is written again.

    Args:
        folder: made if missing.
        seed: names the world.

    Raises:
        SyntheticError: the folder holds the world of another seed or of another version of the generator.
    """
    marker = folder / MARKER
    if marker.is_file() and _is_whole(marker, seed):
        return _read(marker)
    marker.unlink(missing_ok=True)
    landscape = make_landscape(seed)
    scenes = folder / "scenes"
    safe = write_sentinel2_safe(scenes, landscape, SENTINEL2_BOUNDS, _SENTINEL2_ACQUIRED, seed + 101)
    order = write_planet_order(scenes / "planet_order", landscape, PLANET_BOUNDS, _PLANET_ACQUIRED, seed + 201)
    dem, trends = write_auxiliary(folder / "auxiliary", landscape, _AREA, seed)
    truth = write_truth(folder / "truth.geojson", landscape, _AREA)
    world = World(scenes, safe, order, dem, trends, truth)
    _write_marker(marker, seed, world)
    return world


def _is_whole(marker: Path, seed: int) -> bool:
    """Whether every file of the marker is there in its size.

    Raises:
        SyntheticError: the marker is another world's.
    """
    found = json.loads(marker.read_text(encoding="utf-8"))
    if (found["seed"], found["version"]) != (seed, VERSION):
        raise SyntheticError(
            f"{marker.parent} holds the synthetic world of seed {found['seed']} (generator version "
            f"{found['version']}), but seed {seed} (version {VERSION}) was asked for. Choose another folder, "
            "or remove this one"
        )
    files = {marker.parent / name: size for name, size in found["files"].items()}
    return all(file.is_file() and file.stat().st_size == size for file, size in files.items())


def _read(marker: Path) -> World:
    found = json.loads(marker.read_text(encoding="utf-8"))["world"]
    return World(**{name: marker.parent / place for name, place in found.items()})


def _write_marker(marker: Path, seed: int, world: World) -> None:
    folder = marker.parent
    places = {name: getattr(world, name) for name in World.__dataclass_fields__}
    roots = (world.sentinel2, world.planet)
    files = [file for root in roots for file in sorted(root.rglob("*")) if file.is_file()]
    content = {
        "seed": seed,
        "version": VERSION,
        "world": {name: place.relative_to(folder).as_posix() for name, place in places.items()},
        "files": {
            file.relative_to(folder).as_posix(): file.stat().st_size
            for file in (*files, world.dem, world.trends, world.truth)
        },
    }
    draft = marker.with_suffix(".json.part")
    draft.write_text(json.dumps(content, indent=2), encoding="utf-8")
    os.replace(draft, marker)
