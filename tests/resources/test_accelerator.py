"""The device that models run on."""

import pytest
import torch

from darts_core.inference.device import AcceleratorError
from resources.accelerator import Accelerator
from resources.launchers.configuration import Launcher


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


def test_ranks_share_the_cpu() -> None:
    assert Accelerator(device="cpu", launcher=Launcher.LOCAL, ranks=3).resolve() == "cpu"


def test_ranks_in_the_process_of_the_run_are_refused() -> None:
    with pytest.raises(AcceleratorError, match="2 ranks need processes of their own: set the launcher to local"):
        Accelerator(device="cpu", ranks=2).resolve()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("device", ["auto", "cuda:0"])
def test_more_ranks_than_gpus_are_refused(device: str) -> None:
    ranks = torch.cuda.device_count() + 1
    with pytest.raises(AcceleratorError, match=f"{ranks} ranks need a GPU each"):
        Accelerator(device=device, launcher=Launcher.LOCAL, ranks=ranks).resolve()
