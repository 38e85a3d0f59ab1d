"""An upscaler at work: on its device, in its precision and memory format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from darts_core.inference.device import resolve_device
from darts_core.inference.weights import first_line
from darts_core.superresolution.brought import Exported
from darts_core.superresolution.facts import UpscalerError
from darts_core.superresolution.upscaler import Upscaler

Forward = Callable[[torch.Tensor], torch.Tensor]
"""From float32 (batch, bands, y, x) to float32 (batch, bands out, y * factor, x * factor), on one device."""

_TRIAL = 16
"""Pixels a side of a first prediction."""


def forward_on(upscaler: Upscaler, device: str | torch.device) -> Forward:
    """The model as a function, placed on `device`, in evaluation mode, without gradients.

    Raises:
        AcceleratorError: the device is not there.
        UpscalerError: from the function, where the model fails, or returns another shape than its facts promise.
    """
    run, window = _runner(upscaler, device), upscaler.window

    def forward(values: torch.Tensor) -> torch.Tensor:
        if window is not None and tuple(values.shape[-2:]) != (window, window):
            raise UpscalerError(
                f"{upscaler.name} takes windows of {window} x {window} pixels only, received "
                f"{values.shape[-2]} x {values.shape[-1]}; choose window = {window}"
            )
        predicted = run(values)
        batch, _, height, width = values.shape
        expected = batch, len(upscaler.bands_out), height * upscaler.factor, width * upscaler.factor
        if tuple(predicted.shape) != expected:
            raise UpscalerError(
                f"{upscaler.name} with factor {upscaler.factor} and the bands {', '.join(upscaler.bands_out)} should "
                f"make {expected} of {tuple(values.shape)}; the model returned the shape {tuple(predicted.shape)}"
            )
        return predicted

    return forward


def measured_factor(upscaler: Upscaler, device: str | torch.device) -> int:
    """Pixels of the result along one of the input, by a trial.

    Raises:
        UpscalerError: the model fails, or has no whole factor, or not the number of bands that is said of it.
    """
    trial = _trial_input(upscaler)
    shape, size = tuple(_runner(upscaler, device)(trial).shape), trial.shape[-1]
    factor = shape[-1] // size
    if shape != (1, len(upscaler.bands_out), size * factor, size * factor) or not factor:
        raise UpscalerError(
            f"{upscaler.name} made {shape} of {tuple(trial.shape)}; expected "
            f"{len(upscaler.bands_out)} bands ({', '.join(upscaler.bands_out)}) and a whole factor of both sides. "
            "Where the model makes other bands than it takes, name them as bands_out"
        )
    return factor


def _runner(upscaler: Upscaler, device: str | torch.device) -> Forward:
    """The module with its options, precision and memory format; whatever shape it returns."""
    place = torch.device(resolve_device(str(device)))
    module = _placed(upscaler.module, place)
    layout = _memory_format(module, upscaler, place)
    precision = getattr(torch, upscaler.precision.value)

    @torch.no_grad()
    def run(values: torch.Tensor) -> torch.Tensor:
        inputs = values.to(place, torch.float32, memory_format=layout)
        try:
            with torch.autocast(place.type, precision, enabled=precision is not torch.float32):
                predicted: Any = module(inputs, **upscaler.options)
        except Exception as error:
            said = f" with {upscaler.options}" if upscaler.options else ""
            raise UpscalerError(
                f"{upscaler.name} failed on windows of the shape {tuple(inputs.shape)}{said} on {place}: "
                f"{first_line(error)}"
            ) from error
        if not isinstance(predicted, torch.Tensor):
            raise UpscalerError(f"{upscaler.name} returned {type(predicted).__name__}; expected a tensor")
        return predicted.float()

    return run


def _placed(module: nn.Module, device: torch.device) -> nn.Module:
    return module.on(device) if isinstance(module, Exported) else module.to(device).eval()


_BESIDE_CONVOLUTIONS = {
    *("Identity", "ReLU", "LeakyReLU", "PReLU", "ELU", "GELU", "SiLU", "Sigmoid", "Tanh", "BatchNorm2d", "Dropout"),
    *("PixelShuffle", "PixelUnshuffle", "Upsample", "ReplicationPad2d", "ReflectionPad2d", "ZeroPad2d"),
    *("MaxPool2d", "AvgPool2d", "Interpolate"),
}


def _memory_format(module: nn.Module, upscaler: Upscaler, device: torch.device) -> torch.memory_format:
    """Channels last for a plain convolutional network, which is then placed so: two to three times as fast on a CPU.

    A network that reshapes in a way that only contiguous inputs allow fails the trial, and stays as it is; whatever
    else is wrong with it shows with the first window.
    """
    leaves = [one for one in module.modules() if not [*one.children()]]
    kinds = {getattr(one, "original_name", type(one).__name__) for one in leaves}
    convolutions = kinds & {"Conv2d", "ConvTranspose2d"}
    if not convolutions or kinds - convolutions - _BESIDE_CONVOLUTIONS:
        return torch.contiguous_format
    inputs = _trial_input(upscaler).to(device, memory_format=torch.channels_last)
    try:
        with torch.no_grad():
            module.to(memory_format=torch.channels_last)(inputs, **upscaler.options)
    except Exception:
        module.to(memory_format=torch.contiguous_format)
        return torch.contiguous_format
    return torch.channels_last


def _trial_input(upscaler: Upscaler) -> torch.Tensor:
    size = upscaler.window or _TRIAL
    return torch.zeros(1, len(upscaler.bands), size, size)
