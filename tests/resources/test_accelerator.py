"""The device that models run on."""

import pytest
import torch

from darts_core.inference.device import AcceleratorError
from resources.accelerator import Accelerator


def test_the_cpu_is_always_there() -> None:
    assert Accelerator(device="cpu").resolve() == "cpu"


def test_auto_is_a_device_that_works() -> None:
    device = Accelerator().resolve()
    assert torch.ones(2, device=device).sum().item() == 2
    if torch.cuda.is_available():
        assert device == "cuda:0"


@pytest.mark.parametrize("device", ["cuda:99", "tpu", "", "CPU"])
def test_a_device_that_is_not_here_is_named_with_those_that_are(device: str) -> None:
    with pytest.raises(AcceleratorError, match=f"Device '{device}' is not here; expected 'auto' or one of cpu"):
        Accelerator(device=device).resolve()
