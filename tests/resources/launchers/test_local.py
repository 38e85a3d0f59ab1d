"""Jobs on this machine."""

import pytest
from support.launchers import LauncherConformance

from darts_core.inference.device import AcceleratorError
from resources.accelerator import Accelerator
from resources.launchers.configuration import Launcher


class TestLocal(LauncherConformance):
    @pytest.fixture
    def accelerator(self) -> Accelerator:
        return Accelerator(device="cpu", launcher=Launcher.LOCAL, ranks=2)

    def test_what_is_not_there_is_said_before_the_start(self) -> None:  # type: ignore[override]
        """The devices are those of this machine, which `resolve` knows."""
        with pytest.raises(AcceleratorError, match="Device 'cuda:99' is not here"):
            Accelerator(device="cuda:99", launcher=Launcher.LOCAL).resolve()
