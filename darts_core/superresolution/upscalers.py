"""Models that make a finer image of a scene: interpolation, and a small learned network."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
from torch import nn

from darts_core.contracts import REFLECTANCE
from darts_core.inference.weights import WeightsError, load_tensors
from darts_core.manifests import file_digest

FRAMEWORK = "darts-upscaler"
"""`model_framework` of a checkpoint of this module."""


class UpscalerError(WeightsError):
    """An upscaler that does not exist or cannot be loaded."""


class Interpolation(StrEnum):
    """Upscalers that need no training, by name."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


_REACH = {Interpolation.NEAREST: 0, Interpolation.BILINEAR: 1, Interpolation.BICUBIC: 2}


@dataclass(frozen=True, slots=True)
class Upscaler:
    """A super-resolution model as the engine sees it."""

    module: nn.Module
    """From reflectance float32 (batch, bands, y, x) without NaN to (batch, bands, y * factor, x * factor)."""
    factor: int
    bands: tuple[str, ...]
    reach: int
    """How far, in pixels of its input, a pixel of the result looks."""
    name: str
    digest: str
    """Identity of the weights: sha256 of the checkpoint file."""


class _Interpolate(nn.Module):
    def __init__(self, kind: Interpolation, factor: int) -> None:
        super().__init__()
        self.kind, self.factor = kind, factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        corners = None if self.kind is Interpolation.NEAREST else False
        return nn.functional.interpolate(x, scale_factor=self.factor, mode=self.kind.value, align_corners=corners)


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
        self.skip = _Interpolate(Interpolation.BICUBIC, factor)
        self.reach = max(depth, _REACH[Interpolation.BICUBIC])

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


def interpolation(kind: Interpolation, factor: int = 4) -> Upscaler:
    """An upscaler that needs no training: nearest, bilinear or bicubic (Keys with a = -0.75, as torch has it)."""
    bands = tuple(row.name for row in REFLECTANCE)
    digest = hashlib.sha256(f"{kind.value} x{factor}".encode()).hexdigest()
    module = _Interpolate(kind, factor).eval()
    return Upscaler(module, factor, bands, _REACH[kind], kind.value, digest)


def save_upscaler(model: SmallUpscaler, config: UpscalerConfig, path: Path) -> None:
    """Write a checkpoint of plain tensors and plain values, which `load_upscaler` reads back."""
    fields = {
        "model_framework": FRAMEWORK,
        "bands": list(config.bands),
        "factor": config.factor,
        "channels": config.channels,
        "depth": config.depth,
        "name": config.name,
    }
    state = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    torch.save({"config": fields, "statedict": state}, path)


def load_upscaler(source: str | Path) -> Upscaler:
    """An upscaler by the name of an interpolation, or from a checkpoint file. No code of the file is run.

    Raises:
        WeightsError: neither a known name nor a checkpoint of plain tensors.
        UpscalerError: a checkpoint of something else.
    """
    if str(source) in set(Interpolation):
        return interpolation(Interpolation(str(source)))
    path = Path(source)
    if not path.is_file():
        known = ", ".join(Interpolation)
        raise UpscalerError(f"{source} is neither a checkpoint file nor one of the upscalers {known}")
    checkpoint = load_tensors(path)
    config, state = _parts(checkpoint, path)
    model = config.build()
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise UpscalerError(f"The weights in {path} do not fit its own config {config}: {error}") from error
    return Upscaler(model.eval(), config.factor, config.bands, model.reach, config.name, file_digest(path))


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
            f'name}}, "statedict"}}; {error!r}'
        ) from error
    if framework != FRAMEWORK:
        raise UpscalerError(f"{path} is a {framework!r} checkpoint; an upscaler says {FRAMEWORK!r}")
    return config, state
