"""Which device a model runs on."""

from __future__ import annotations

from darts_core.errors import DartsError


class AcceleratorError(DartsError):
    """A device was asked for that this machine does not have."""


def resolve_device(device: str) -> str:
    """The torch device for `device`: ``auto`` is the first GPU, or the CPU where there is none.

    Raises:
        AcceleratorError: the device does not exist here; the message says what does.
    """
    import torch

    available = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        available.append("mps")
    if device == "auto":
        return available[1] if len(available) > 1 else "cpu"
    wanted = "cuda:0" if device == "cuda" else device
    if wanted not in available:
        raise AcceleratorError(f"Device {device!r} is not here; expected 'auto' or one of {', '.join(available)}")
    return wanted
