"""The device that models run on, and the processes that predict on it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

if TYPE_CHECKING:
    from darts_core.superresolution.job import SuperResolveJob


class Launcher(StrEnum):
    """Where super-resolution predicts."""

    EMBEDDED = "embedded"
    """In the process of the run."""
    LOCAL = "local"
    """In supervised processes of this machine, which may be several."""


class Accelerator(dg.ConfigurableResource):
    """Where predictions and training run."""

    device: str = Field("auto", description="cpu, cuda, cuda:1, mps, or auto: a GPU where there is one")
    launcher: Launcher = Field(
        default=Launcher.EMBEDDED, description="embedded, in the process of the run, or local, in supervised processes"
    )
    ranks: int = Field(default=1, ge=1, description="Processes that share a scene's shards; on GPUs one for each")

    def resolve(self) -> str:
        """The torch device.

        Raises:
            AcceleratorError: a device was asked for that this machine does not have, or fewer of them than ranks.
        """
        from darts_core.inference.device import AcceleratorError, resolve_device

        device = resolve_device(self.device)
        if self.ranks > 1 and self.launcher is Launcher.EMBEDDED:
            raise AcceleratorError(
                f"{self.ranks} ranks need processes of their own: set the launcher to local, or the ranks to 1"
            )
        if self.ranks > 1 and device != "cpu":
            self._require_one_each(device)
        return device

    def _require_one_each(self, device: str) -> None:
        import torch

        from darts_core.inference.device import AcceleratorError

        there = torch.cuda.device_count() if device.startswith("cuda") else 1
        if self.ranks > there or ":" in self.device:
            raise AcceleratorError(
                f"{self.ranks} ranks need a GPU each, received the device {self.device!r} on a machine with {there}; "
                "ask for fewer ranks and name the kind of device only, or take the CPU"
            )

    def launch(self, context: dg.AssetExecutionContext, job: SuperResolveJob) -> dict[str, Any]:
        """Run a job in processes of its own, to its end.

        Returns:
            How it went, for the metadata of the run.

        Raises:
            JobError: a rank failed.
        """
        from resources.launcher import launch

        return launch(context, job)
