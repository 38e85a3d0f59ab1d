"""The device that models run on, and the processes that predict on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from resources.launchers.configuration import KubernetesConfig, Launcher, RayConfig, SlurmConfig

if TYPE_CHECKING:
    from resources.launchers.backend import Backend
    from resources.settings import Settings


class Accelerator(dg.ConfigurableResource):
    """Where predictions and training run."""

    device: str = Field("auto", description="cpu, cuda, cuda:1, mps, or auto: a GPU where there is one")
    launcher: Launcher = Field(
        default=Launcher.EMBEDDED,
        description="embedded, in the process of the run; local, in supervised processes; slurm, ray or kubernetes",
    )
    ranks: int = Field(default=1, ge=1, description="Processes that share a job; on GPUs one for each")
    slurm: SlurmConfig = SlurmConfig()
    ray: RayConfig = RayConfig()
    kubernetes: KubernetesConfig = KubernetesConfig()

    @classmethod
    def of(cls, settings: Settings) -> Accelerator:
        """As it is configured."""
        return cls(**{name: getattr(settings, name) for name in ("device", "launcher", "ranks", *_BACKENDS)})

    def resolve(self) -> str:
        """The torch device; as it is configured where it is another machine's.

        Raises:
            AcceleratorError: a device was asked for that this machine does not have, or fewer of them than ranks.
        """
        from darts_core.inference.device import AcceleratorError, resolve_device

        if self.ranks > 1 and ":" in self.device:
            raise AcceleratorError(
                f"{self.ranks} ranks need a GPU each, received the device {self.device!r}; name the kind of device only"
            )
        if self.launcher.elsewhere:
            return self.device
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
        if self.ranks > there:
            raise AcceleratorError(
                f"{self.ranks} ranks need a GPU each, received the device {self.device!r} on a machine with {there}; "
                "ask for fewer ranks, or take the CPU"
            )

    def backend(self) -> Backend:
        """Where its jobs run.

        Raises:
            JobError: a library of the backend is not installed.
        """
        if self.launcher is Launcher.SLURM:
            from resources.launchers.slurm import SlurmBackend

            return SlurmBackend(self.slurm)
        if self.launcher is Launcher.RAY:
            from resources.launchers.ray import RayBackend

            return RayBackend(self.ray)
        if self.launcher is Launcher.KUBERNETES:
            from resources.launchers.kubernetes import KubernetesBackend

            return KubernetesBackend(self.kubernetes)
        from resources.launchers.local import LocalBackend

        return LocalBackend()


_BACKENDS = ("slurm", "ray", "kubernetes")
