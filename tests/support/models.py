"""A segmentation checkpoint in the public format whose every weight is known."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import segmentation_models_pytorch as smp
import torch
from scipy.ndimage import uniform_filter
from torch import nn

from darts_core.contracts import VARIABLES

# A logistic regression on the western half of the Peel Plateau scene against the majority of its 12 experts, rounded:
# thaw slumps are bare (low NDVI) and bright (red). The order is not that of the contract, so that order matters.
WEIGHTS: Mapping[str, float] = {"ndvi": -35.0, "red": 40.0, "green": 8.0}
BIAS = 9.0


def write_checkpoint(
    path: Path, *, weights: Mapping[str, float] = WEIGHTS, bias: float = BIAS, input: str = "native"
) -> Path:
    """Write a Unet that computes `expected_probabilities`, on any CPU to the last few bits.

    All weights are zero but those that make one path through it: the stem averages two by two pixels of each band,
    a decoder block averages three by three of these, and the head sums them up. Nothing is trained and nothing is
    random, so that golden statistics of its probabilities hold on every machine.
    """
    bands = list(weights)
    model = {
        "arch": "Unet",
        "encoder_name": "mobilenet_v2",
        "encoder_depth": 3,
        "decoder_channels": [4, 4, 4],
        "in_channels": len(bands),
        "classes": 1,
    }
    unet = smp.create_model(**model, encoder_weights=None)
    with torch.no_grad():
        _zero(unet)
        stem, first = unet.encoder.features[0], unet.encoder.features[1].conv
        half, full = unet.decoder.blocks[1], unet.decoder.blocks[2]
        skip = half.conv1[0].in_channels - first[1].out_channels
        for channel, weight in enumerate(weights.values()):
            stem[0].weight[channel, channel, 1:, 1:] = 1 / 4
            first[0][0].weight[channel, 0, 1, 1] = 1
            first[1].weight[channel, channel] = 1
            half.conv1[0].weight[channel, skip + channel] = 1 / 9
            for convolution in (half.conv2[0], full.conv1[0], full.conv2[0]):
                convolution.weight[channel, channel, 1, 1] = 1
            unet.segmentation_head[0].weight[0, channel, 1, 1] = weight
        unet.segmentation_head[0].bias[0] = bias
    config = {"model_framework": "smp", "model": model, "input_combination": bands, "patch_size": 256, "input": input}
    torch.save({"config": config, "statedict": unet.state_dict()}, path)
    return path


def expected_probabilities(bands: Mapping[str, np.ndarray]) -> np.ndarray:
    """What the checkpoint gives for physical values (y, x) of its bands: float (y, x), wrong in the outer 4 pixels."""
    logits = sum(weight * _seen(VARIABLES[name].normalize(bands[name])) for name, weight in WEIGHTS.items()) + BIAS
    return np.asarray(1 / (1 + np.exp(-logits)))


def _seen(values: np.ndarray) -> np.ndarray:
    height, width = values.shape
    even = np.pad(values, ((0, height % 2), (0, width % 2)), mode="reflect")
    halved = even.reshape(even.shape[0] // 2, 2, -1, 2).mean((1, 3))
    return uniform_filter(halved, 3).repeat(2, 0).repeat(2, 1)[:height, :width]


def _zero(network: nn.Module) -> None:
    for parameter in network.parameters():
        parameter.zero_()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.fill_(1)
            module.running_var.fill_(1 - module.eps)
