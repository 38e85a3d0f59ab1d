"""Models that scenes are run through: trained here as assets, or checkpoints that someone brings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from darts_core.errors import DartsError
from darts_core.segmentation.finding import SUFFIXES, checkpoint_digest, is_checkpoint, model_name
from darts_core.store import Store, check_name
from darts_core.superresolution.facts import ENTRY_POINTS, model_digest

if TYPE_CHECKING:
    from darts_core.segmentation import Segmenter

BUILT_IN_UPSCALERS = ("nearest", "bilinear", "bicubic")


class ModelError(DartsError):
    """A model that is asked for is not there."""


@dataclass(frozen=True, slots=True)
class ReleasedModel:
    """A checkpoint and the name under which its results appear."""

    name: str
    path: Path
    """On a local disk: a file, or the folder of a training run of DARTS's predecessor."""
    digest: str
    """SHA-256 of the checkpoint; see `checkpoint_digest`."""


class ModelStore(dg.ConfigurableResource):
    """Which models scenes are run through."""

    checkpoints: str = Field(description="Folder of further segmentation models: *.pt, *.ckpt, and training runs")
    upscaler: str = Field(
        "bicubic",
        description="nearest, bilinear, bicubic, a super_resolution_model trained here, the path of a model file, or "
        "an entry point of an installed package",
    )

    def segmenters(self, store: Store, names: list[str]) -> list[ReleasedModel]:
        """The segmentation models of these names, all of them where no name is given, by name.

        Raises:
            ModelError: there is none, a name is unknown, or two checkpoints have one name.
        """
        there = (*_brought(Path(self.checkpoints)), *_trained(store, "segmentation_model"))
        known = {model.name: model for model in there}
        ambiguous = [model.name for model in there if known[model.name].digest != model.digest]
        if ambiguous:
            raise ModelError(
                f"Two different checkpoints are named {', '.join(ambiguous)}: results could be of either. Rename or "
                f"remove one in {self.checkpoints}"
            )
        missing = [name for name in names if name not in known]
        if missing or not known:
            lacking = f"no segmentation model {', '.join(missing)}" if missing else "no segmentation model"
            raise ModelError(
                f"There is {lacking}; expected a checkpoint (*{', *'.join(SUFFIXES)}) or a training run with its "
                f"config.yml in {self.checkpoints} or a trained segmentation_model, found "
                f"{', '.join(sorted(known)) or 'none'}. Put one there, name its folder, or materialize "
                "segmentation_model"
            )
        return [known[name] for name in sorted(names or known)]

    def brought_bands(self) -> dict[str, tuple[str, ...]]:
        """The bands that each brought segmentation model sees, by its name.

        Raises:
            WeightsError: a file that is no checkpoint.
        """
        return {model.name: _bands(model.path, model.digest) for model in _brought(Path(self.checkpoints))}

    def upscaling(self, store: Store) -> tuple[str, str]:
        """What `load_upscaler` takes, and its digest.

        Raises:
            ModelError: the configured upscaler is neither built in, nor trained, nor a file, nor an entry point.
        """
        if self.upscaler in BUILT_IN_UPSCALERS:
            return self.upscaler, self.upscaler
        if Path(self.upscaler).is_file():
            return self.upscaler, model_digest(Path(self.upscaler))
        for model in _trained(store, "super_resolution_model"):
            if model.name == self.upscaler:
                return str(model.path), model.digest
        if self.upscaler in entry_points(group=ENTRY_POINTS).names:
            from darts_core.superresolution import load_upscaler

            return self.upscaler, load_upscaler(self.upscaler).digest
        raise ModelError(
            f"Upscaler {self.upscaler!r} is neither built in ({', '.join(BUILT_IN_UPSCALERS)}), nor trained here, "
            f"nor a model file, nor an entry point of the group {ENTRY_POINTS}; materialize super_resolution_model "
            "for it, or configure another"
        )


@lru_cache(maxsize=8)
def load_segmenter(model: ReleasedModel, device: str) -> Segmenter:
    """A model on a device, loaded once in a process, however many scenes go through it.

    Raises:
        WeightsError: a file that is no checkpoint.
        AcceleratorError: the device is not there.
    """
    from darts_core.segmentation import Segmenter

    return Segmenter.load(model.path, device=device, name=model.name)


@lru_cache
def _bands(path: Path, digest: str) -> tuple[str, ...]:
    """Of a checkpoint with this digest: read once in a process, whichever scenes it is asked for."""
    from darts_core.segmentation.checkpoint import load_checkpoint

    return tuple(load_checkpoint(path).config.input_combination)


def _brought(folder: Path) -> list[ReleasedModel]:
    found = sorted(path for path in folder.glob("*") if is_checkpoint(path)) if folder.is_dir() else []
    return [
        ReleasedModel(check_name(model_name(path), f"{path}: model name"), path, checkpoint_digest(path))
        for path in found
    ]


def _trained(store: Store, asset: str) -> list[ReleasedModel]:
    models = []
    for name in store.partitions(asset):
        version = store.current(asset, name)
        (file,) = (name for name in version.manifest.objects if name.endswith(SUFFIXES))
        models.append(ReleasedModel(name, version.fetch(file), version.manifest.objects[file].sha256))
    return models
