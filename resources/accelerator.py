"""The device that models run on."""

from __future__ import annotations

import dagster as dg
from pydantic import Field


class Accelerator(dg.ConfigurableResource):
    """Where predictions and training run: embedded, in the process of the run."""

    device: str = Field("auto", description="cpu, cuda, cuda:1, mps, or auto: a GPU where there is one")

    def resolve(self) -> str:
        """The torch device.

        Raises:
            AcceleratorError: a device was asked for that this machine does not have.
        """
        from darts_core.inference.device import resolve_device

        return resolve_device(self.device)
