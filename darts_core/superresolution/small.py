"""The small learned upscaler, and its checkpoints: plain tensors and plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from darts_core.contracts import REFLECTANCE
from darts_core.inference.weights import load_tensors
from darts_core.superresolution.facts import UpscalerError
from darts_core.superresolution.interpolation import Interpolate, Interpolation

FRAMEWORK = "darts-upscaler"
"""`model_framework` of a checkpoint of this module."""


class SmallUpscaler(nn.Module):
    """A few convolutions that add detail to the bicubic image.

    Sub-pixel convolution after Shi et al. 2016 (doi:10.1109/CVPR.2016.207), with the bicubic image as skip. The last
    layer starts at zero, so that training starts from bicubic. No normalisation layers and no pooling: a pixel of
    the result depends on its neighbourhood alone, and windows join without a seam.
    """

    def __init__(self, bands: int, factor: int, channels: int, depth: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv(bands, channels), nn.ReLU()]
        for _ in range(depth - 2):
            layers += [_conv(channels, channels), nn.ReLU()]
        last = _conv(channels, bands * factor**2)
        nn.init.zeros_(last.weight)
        if last.bias is not None:
            nn.init.zeros_(last.bias)
        self.body = nn.Sequential(*layers, last, nn.PixelShuffle(factor))
        self.skip = Interpolate(Interpolation.BICUBIC, factor)
        self.reach = max(depth, Interpolation.BICUBIC.reach)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.skip(x) + self.body(x)


def _conv(bands_in: int, bands_out: int) -> nn.Conv2d:
    return nn.Conv2d(bands_in, bands_out, 3, padding=1, padding_mode="replicate")


@dataclass(frozen=True, slots=True)
class UpscalerConfig:
    """What rebuilds a `SmallUpscaler`."""

    bands: tuple[str, ...] = tuple(row.name for row in REFLECTANCE)
    factor: int = 4
    channels: int = 32
    depth: int = 4
    """Convolutions, each of which looks one pixel further."""
    name: str = "small"

    def build(self) -> SmallUpscaler:
        return SmallUpscaler(len(self.bands), self.factor, self.channels, self.depth)


def save_upscaler(model: SmallUpscaler, config: UpscalerConfig, path: Path) -> None:
    """Write a checkpoint of plain tensors and plain values, which `load_upscaler` reads back."""
    fields = {"model_framework": FRAMEWORK, **asdict(config), "bands": list(config.bands)}
    state = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    torch.save({"config": fields, "statedict": state}, path)


def read_checkpoint(path: Path) -> tuple[SmallUpscaler, UpscalerConfig]:
    """The network that `save_upscaler` wrote. No code of the file is run.

    Raises:
        WeightsError: not a file of plain tensors and plain values.
        UpscalerError: a checkpoint of something else, or weights that do not fit it.
    """
    config, state = _parts(load_tensors(path), path)
    model = config.build()
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise UpscalerError(f"The weights in {path} do not fit its own config {config}: {error}") from error
    return model, config


def _parts(checkpoint: Any, path: Path) -> tuple[UpscalerConfig, Mapping[str, torch.Tensor]]:
    try:
        fields = dict(checkpoint["config"])
        framework = fields.pop("model_framework")
        state = checkpoint["statedict"]
        fields["bands"] = tuple(fields["bands"])
        config = UpscalerConfig(**fields)
    except (KeyError, TypeError, ValueError) as error:
        raise UpscalerError(
            f'{path} should hold {{"config": {{"model_framework": "{FRAMEWORK}", bands, factor, channels, depth, '
            f'name}}, "statedict"}}; {error!r}. Weights of another network go in as TorchScript or torch.export'
        ) from error
    if framework != FRAMEWORK:
        raise UpscalerError(f"{path} is a {framework!r} checkpoint; an upscaler says {FRAMEWORK!r}")
    return config, state
