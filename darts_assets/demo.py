"""The demo: a synthetic world, small models trained on it, and the whole graph over its scenes."""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from darts_assets.partitions import MODELS, UPSCALERS, add, season_of
from darts_assets.runs import Outcome, add_scenes, instance_of, run_job
from darts_core.errors import DartsError
from darts_core.store import Store
from resources.settings import FILE, Settings

if TYPE_CHECKING:
    from darts_core.synthetic.world import World

UPSCALER = "demo-upscaler"
NATIVE = "demo-native"
SUPER_RESOLVED = "demo-super-resolved"

_BEFORE_MODELS = ["raw_scene", "preprocessed"]
_SUPER_RESOLUTION = ["sr_patches", "sr_geotiff"]
_SEGMENTATION = ["segmentation_probabilities", "ensemble", "segmentation_mask", "slump_polygons"]


class DemoError(DartsError):
    """The demo cannot run in this home."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One job over some partitions."""

    title: str
    job: str
    partitions: list[str]
    select: list[str] | None = None
    config: Mapping[str, Any] = field(default_factory=dict)


def run_demo(console: Console) -> list[Outcome]:
    """Make the world, train, and materialize every asset; ends at the first stage that fails.

    Returns:
        How each scene and the release ended, or the stage that failed.

    Raises:
        DemoError: the home is configured for other scenes.
    """
    from darts_core.scenes import find_scenes
    from darts_core.synthetic.world import make_world

    home = Settings.load().home
    with _timed(console, "Drawing a synthetic tundra: a Sentinel-2 and a PlanetScope scene, elevation, trends, truth"):
        world = make_world(home / "demo-world")
    settings = _configured(home, world)
    with instance_of(settings) as instance:
        scenes = add_scenes(instance, Store(settings.products), list(find_scenes(str(world.scenes)).scenes))
        add(instance, UPSCALERS, [UPSCALER])
        add(instance, MODELS, [NATIVE, SUPER_RESOLVED])
        ended: list[Outcome] = []
        for stage in _stages(scenes, world.truth):
            with _timed(console, stage.title):
                outcomes = [
                    run_job(instance, stage.job, one, select=stage.select, config=stage.config)
                    for one in stage.partitions
                ]
            if any(outcome.error for outcome in outcomes):
                return outcomes
            ended += outcomes if stage.select == _SEGMENTATION or stage.job == "release_season" else []
    return ended


def _stages(scenes: list[str], truth: Path) -> list[Stage]:
    seasons = sorted({season_of(key) for key in scenes})
    labels = {"truth": str(truth)}
    native = {"training_patches": labels, "evaluation": labels}
    patches = {**labels, "input": "SUPER_RESOLVED", "patch_size": 256, "overlap": 64}
    finer = {"training_patches": patches, "segmentation_model": {"steps": 120}, "evaluation": labels}
    brief = {"super_resolution_model": {"steps": 250}}
    return [
        Stage("Reading and preprocessing both scenes", "process_scene", scenes, _BEFORE_MODELS),
        Stage("Training the upscaler", "train_super_resolution", [UPSCALER], config=brief),
        Stage("Super-resolving", "process_scene", scenes, _SUPER_RESOLUTION),
        Stage("Training a model on native pixels", "train_segmentation", [NATIVE], config=native),
        Stage("Training a model on super-resolved pixels", "train_segmentation", [SUPER_RESOLVED], config=finer),
        Stage("Segmenting, and drawing slump polygons", "process_scene", scenes, _SEGMENTATION),
        Stage("Releasing the season", "release_season", seasons),
    ]


def _configured(home: Path, world: World) -> Settings:
    """Write the demo's settings into its home, for the UI to find."""
    wanted = {
        "scenes": str(world.scenes),
        "dem": str(world.dem),
        "trends": str(world.trends),
        "upscaler": UPSCALER,
    }
    file = home / FILE
    if file.exists() and tomllib.loads(file.read_text()) != wanted:
        raise DemoError(
            f"{file} configures other scenes than the demo's. Give the demo a home of its own: "
            "darts-assets demo --home some/other/folder (or DARTS_HOME=… make demo)"
        )
    home.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in wanted.items()))
    return Settings.load()


@contextmanager
def _timed(console: Console, title: str) -> Iterator[None]:
    started = time.perf_counter()
    with console.status(title):
        yield
    console.print(f"{title} [dim]{time.perf_counter() - started:.0f} s[/]")
