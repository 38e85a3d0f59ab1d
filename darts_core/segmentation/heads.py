"""From a network's logits to probabilities: views that are averaged, and the temperature."""

from __future__ import annotations

from collections.abc import Callable

import torch

from darts_core.segmentation.parameters import Augment

Network = Callable[[torch.Tensor], torch.Tensor]
"""From (batch, bands, y, x) in 0..1 to logits (batch, 1, y, x)."""

SYMMETRIES = tuple((turns, mirrored) for mirrored in (False, True) for turns in range(4))
"""The symmetries of the square: quarter turns, and whether the columns were mirrored before."""


def probabilities(network: Network, augment: Augment, temperature: float) -> Network:
    """A function from model input to probabilities (batch, 1, y, x): sigmoid(logits / temperature).

    With `Augment.LOGITS` the logits of the eight views are averaged before the sigmoid, with `PROBABILITIES` after.
    """

    def single(inputs: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(network(inputs) / temperature)

    if augment is Augment.NONE:
        return single
    if augment is Augment.PROBABILITIES:
        return lambda inputs: over_symmetries(single, inputs)
    return lambda inputs: torch.sigmoid(over_symmetries(network, inputs) / temperature)


def over_symmetries(network: Network, inputs: torch.Tensor) -> torch.Tensor:
    """The mean of what a network says of the eight views of its input, each turned back."""
    total = torch.zeros(())
    for turns, mirrored in SYMMETRIES:
        view = inputs.flip(-1) if mirrored else inputs
        view = view.rot90(turns, (-2, -1)).contiguous(memory_format=torch.channels_last)
        back = network(view).rot90(-turns, (-2, -1))
        total = total.to(back.device) + (back.flip(-1) if mirrored else back)
    return total / len(SYMMETRIES)
