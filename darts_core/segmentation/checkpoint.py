"""Checkpoints of segmentation models: plain tensors and plain values, loaded without running any code of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from darts_core.inference.normalization import Normalization
from darts_core.inference.weights import first_line
from darts_core.segmentation.generations import CheckpointError, read_generation
from darts_core.segmentation.parameters import Input

__all__ = [
    "Checkpoint",
    "CheckpointConfig",
    "CheckpointError",
    "build_model",
    "load_checkpoint",
    "restore",
    "save_checkpoint",
]


class CheckpointConfig(BaseModel):
    """The `config` of a checkpoint; what else trainers keep there is left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    model_framework: str = Field("smp", pattern="^smp$")
    model: dict[str, Any] = Field(description="arch, encoder_name, in_channels, classes and more, as smp has them")
    input_combination: list[str] = Field(min_length=1, description="Bands in the order of the model's input")
    patch_size: int = Field(1024, ge=32, description="Pixels a side that the model was trained on")
    input: Input = Input.NATIVE
    name: str | None = None
    normalization: Normalization | None = Field(default=None, description="None: the contract's valid ranges")
    temperature: float = Field(default=1.0, gt=0, description="What calibration divides the logits by")
    score: float | None = Field(
        default=None, ge=0, description="How good the model was on validation data; weighs ensembles"
    )

    @property
    def scaling(self) -> Normalization:
        """How physical values become the model's input."""
        return self.normalization or Normalization.contract(self.input_combination)


class Checkpoint(BaseModel):
    """A checkpoint as it lies on disk, checked."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    config: CheckpointConfig
    statedict: dict[str, torch.Tensor]


def save_checkpoint(model: torch.nn.Module, config: CheckpointConfig, path: Path) -> None:
    """Write what `load_checkpoint` reads; the normalisation is written out, for the contract may change."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    whole = config.model_copy(update={"normalization": config.scaling})
    torch.save({"config": whole.model_dump(mode="json"), "statedict": state}, path)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read and check a checkpoint of any generation; `generations` lists them.

    Raises:
        WeightsError: no file, or not plain tensors.
        CheckpointNotFound: a folder without weights.
        CheckpointError: a missing or wrong field, or unknown bands.
    """
    content = read_generation(path)
    try:
        checkpoint = Checkpoint.model_validate(content)
    except ValidationError as error:
        raise CheckpointError(f"{path} departs from the checkpoint format: {error}") from error
    _check_bands(checkpoint.config, path)
    return checkpoint


def _check_bands(config: CheckpointConfig, path: Path) -> None:
    bands, channels, spans = config.input_combination, config.model.get("in_channels"), len(config.scaling.spans)
    if channels != len(bands) or spans != len(bands):
        raise CheckpointError(
            f"{path} has in_channels = {channels}, and {len(bands)} bands in input_combination: {', '.join(bands)} "
            f"({spans} are normalised)"
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
