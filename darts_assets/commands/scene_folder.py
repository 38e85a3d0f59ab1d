"""A folder with the products of one scene, where no store is wanted: what each step reads and what it writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from darts_assets.commands.batch import run_batch
from darts_assets.commands.targets import Target, UsageError

PROBABILITIES = "probabilities-"


@dataclass(frozen=True, slots=True)
class SceneFolder:
    """Where the products of one scene lie; the folder's name is the scene's key."""

    path: Path

    @property
    def preprocessed(self) -> Path:
        return self.path / "preprocessed.zarr"

    @property
    def super_resolved(self) -> Path:
        """What `super-resolve --out` puts there, for models that ask for it."""
        return self.path / "super_resolved.tif"

    def probabilities(self, model: str) -> Path:
        return self.path / f"{PROBABILITIES}{model}.tif"

    @property
    def ensemble(self) -> Path:
        return self.path / "ensemble.tif"

    @property
    def mask(self) -> Path:
        return self.path / "segmentation_mask.tif"

    @property
    def polygons(self) -> Path:
        return self.path / "slump_polygons.parquet"

    def all_probabilities(self) -> list[Path]:
        """The rasters of all models, by name.

        Raises:
            UsageError: there is none.
        """
        found = sorted(self.path.glob(f"{PROBABILITIES}*.tif"))
        if not found:
            raise UsageError(f"{self.path} has no {PROBABILITIES}<model>.tif; run `darts-assets segment` on it first")
        return found

    def need(self, product: Path, made_by: str) -> Path:
        """`product`, which has to be there.

        Raises:
            UsageError: it is not; with the command that makes it.
        """
        if not product.exists():
            raise UsageError(f"{self.path} has no {product.name}; run `darts-assets {made_by}` on it first")
        return product


def scene_folders(paths: Sequence[Path]) -> list[SceneFolder]:
    """The scene folders that are named, or that lie in a named folder.

    Raises:
        UsageError: a path that is neither.
    """
    found: dict[Path, SceneFolder] = {}
    for path in paths:
        inside = [path] if _is_scene(path) else sorted(one for one in path.glob("*/") if _is_scene(one))
        if not inside:
            raise UsageError(
                f"{path} is no folder of a scene, and holds none: expected a preprocessed.zarr, as "
                "`darts-assets preprocess SCENE --out FOLDER` writes it into FOLDER/<scene>"
            )
        found |= {one: SceneFolder(one) for one in inside}
    return list(found.values())


def _is_scene(path: Path) -> bool:
    return SceneFolder(path).preprocessed.exists()


def for_each(folders: Sequence[SceneFolder], product: Callable[[SceneFolder], Path], work: Callable[..., str]) -> None:
    """Do the work for each scene; one that fails does not keep the others from being made.

    Args:
        product: what is made of a folder, for the table of outcomes.
        work: takes a folder, and says what came of it.

    Raises:
        typer.Exit: with 1 where a scene failed.
    """
    by_url = {str(folder.path): folder for folder in folders}
    targets = [Target(url, product(folder)) for url, folder in by_url.items()]
    if run_batch(targets, lambda target: work(by_url[target.url])):
        raise typer.Exit(1)
