"""Checkpoints of segmentation models: plain tensors and plain values, loaded without running any code of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from darts_core.contracts import VARIABLES
from darts_core.inference.weights import WeightsError, first_line, load_tensors
from darts_core.segmentation.parameters import Input


class CheckpointError(WeightsError):
    """A file that is not a checkpoint, or one that cannot be made a model of."""


class CheckpointConfig(BaseModel):
    """The `config` of a checkpoint; what else trainers keep there is left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    model_framework: str = Field("smp", pattern="^smp$")
    model: dict[str, Any] = Field(description="arch, encoder_name, in_channels, classes and more, as smp has them")
    input_combination: list[str] = Field(min_length=1, description="Bands in the order of the model's input")
    patch_size: int = Field(1024, ge=32, description="Pixels a side that the model was trained on")
    input: Input = Input.NATIVE
    name: str | None = None


class Checkpoint(BaseModel):
    """A checkpoint as it lies on disk, checked."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    config: CheckpointConfig
    statedict: dict[str, torch.Tensor]


def save_checkpoint(model: torch.nn.Module, config: CheckpointConfig, path: Path) -> None:
    """Write what `load_checkpoint` reads."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    torch.save({"config": config.model_dump(mode="json"), "statedict": state}, path)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read and check a checkpoint.

    Raises:
        WeightsError: no file, or not plain tensors.
        CheckpointError: a missing or wrong field, or unknown bands.
    """
    content = load_tensors(path)
    try:
        checkpoint = Checkpoint.model_validate(content)
    except ValidationError as error:
        raise CheckpointError(f"{path} departs from the checkpoint format: {error}") from error
    _check_bands(checkpoint.config, path)
    return checkpoint


def _check_bands(config: CheckpointConfig, path: Path) -> None:
    bands, channels = config.input_combination, config.model.get("in_channels")
    unknown = [band for band in bands if band not in VARIABLES]
    if unknown:
        raise CheckpointError(f"{path} wants the bands {', '.join(unknown)}, which no product of this platform has")
    if channels != len(bands):
        raise CheckpointError(
            f"{path} has in_channels = {channels}, and {len(bands)} bands in input_combination: {', '.join(bands)}"
        )
    if config.model.get("classes", 1) != 1:
        raise CheckpointError(f"{path} has {config.model['classes']} classes; expected 1, the slump")


def build_model(config: CheckpointConfig, where: str) -> torch.nn.Module:
    """The untrained model of a config; nothing is downloaded.

    Raises:
        CheckpointError: naming `where`, for an architecture, encoder or option that smp does not have.
    """
    import segmentation_models_pytorch as smp

    options = {"arch": "Unet", "encoder_name": "resnet34", **config.model}
    # the weights come from the checkpoint, and pre-trained ones would be fetched from the network
    options |= {"encoder_weights": None, "activation": None}
    try:
        return smp.create_model(**options)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{where} asks for a model that cannot be built: {first_line(error)}") from error


def restore(checkpoint: Checkpoint, path: Path) -> torch.nn.Module:
    """The trained model of a checkpoint, in evaluation mode.

    Raises:
        CheckpointError: the weights do not fit the config.
    """
    model = build_model(checkpoint.config, str(path))
    try:
        model.load_state_dict(checkpoint.statedict)
    except RuntimeError as error:
        raise CheckpointError(
            f"The weights in {path} do not fit its own config {dict(checkpoint.config.model)}: {error}"
        ) from error
    return model.eval()
