"""Where jobs can run, and what one can choose about each place."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Any

import dagster as dg
from pydantic import ConfigDict, Field

TIME = r"^(\d+-)?\d+(:\d\d){0,2}$"


class Launcher(StrEnum):
    """Where models predict."""

    EMBEDDED = "embedded"
    """In the process of the run."""
    LOCAL = "local"
    """In supervised processes of this machine, which may be several."""
    SLURM = "slurm"
    RAY = "ray"
    KUBERNETES = "kubernetes"

    @property
    def elsewhere(self) -> bool:
        """Whether the devices are those of other machines, of which this process sees none."""
        return self not in (Launcher.EMBEDDED, Launcher.LOCAL)


class _Strict(dg.Config):
    """Dagster's own lets a misspelled name pass where it is not Dagster that reads the configuration."""

    model_config = ConfigDict(extra="forbid")


class SlurmConfig(_Strict):
    """How jobs are submitted to Slurm, from a machine that has `sbatch`."""

    partition: str | None = Field(default=None, description="Of Slurm; its default where empty")
    account: str | None = Field(default=None, description="That the time is charged to")
    qos: str | None = Field(default=None, description="Quality of service")
    time_limit: str | None = Field(default=None, pattern=TIME, description="As 30, 4:00:00 or 1-12:00:00")
    nodes: int = Field(default=1, ge=1, description="Machines that share the ranks evenly")
    gres: str | None = Field(default=None, description="Of each node, such as gpu:4")
    cpus_per_rank: int = Field(default=1, ge=1, description="Cores of a rank")
    memory: str | None = Field(default=None, description="Of each node, such as 64G")
    extra: list[str] = Field(default=[], description="Further options of sbatch, such as --constraint=a100")
    setup: list[str] = Field(default=[], description="Lines of shell before the job, such as module load cuda")
    python: str = Field(default=sys.executable, description="Python with darts-assets, as the nodes see it")
    folder: str | None = Field(default=None, description="Folder that all nodes see; default .jobs beside the products")
    poll_s: float = Field(default=5, gt=0, description="Seconds between two questions to Slurm")


class RayConfig(_Strict):
    """How jobs are submitted to a Ray cluster, through the address of its dashboard."""

    address: str = Field(default="http://127.0.0.1:8265", description="Of the dashboard, which takes jobs")
    cpus_per_rank: float = Field(default=1, ge=0, description="Cores of a rank")
    gpus_per_rank: float = Field(default=0, ge=0, description="GPUs of a rank")
    resources: dict[str, float] = Field(default={}, description="Further resources of the node, by Ray's names")
    runtime_env: dict[str, Any] = Field(default={}, description="Of Ray: working_dir, pip, env_vars, …")
    headers: dict[str, str] = Field(default={}, description="For a dashboard behind a proxy")
    autoscales: bool = Field(default=False, description="Nodes come on demand: wait for what is not there yet")
    python: str = Field(default="python", description="Python with darts-assets, on the nodes")
    patience_s: float = Field(default=10, ge=4, description="Seconds without its run after which a job ends")


class KubernetesConfig(_Strict):
    """How jobs are submitted to Kubernetes: a Job of one pod for each."""

    image: str = Field(default="", description="With darts-assets in it")
    namespace: str = Field(default="default", description="In which Jobs are made")
    context: str | None = Field(default=None, description="Of the kubeconfig; else the account of the pod this runs in")
    service_account: str | None = Field(default=None, description="Of the pod, for access to the object store")
    node_selector: dict[str, str] = Field(default={}, description="Labels of nodes that may run it")
    tolerations: list[dict[str, Any]] = Field(default=[], description="As in a pod")
    requests: dict[str, str] = Field(default={}, description="Resources of the pod, such as cpu = 4 and memory = 16Gi")
    limits: dict[str, str] = Field(default={}, description="Likewise, such as nvidia.com/gpu = 1, one for each rank")
    env: dict[str, str] = Field(default={}, description="Variables of the pod; no secrets, these belong into env_from")
    env_from: list[str] = Field(default=[], description="Names of Secrets that become variables of the pod")
    volumes: list[dict[str, Any]] = Field(default=[], description="As in a pod")
    volume_mounts: list[dict[str, Any]] = Field(default=[], description="As in a container")
    image_pull_secrets: list[str] = Field(default=[], description="Names of Secrets")
    pending_limit_s: float = Field(default=900, gt=0, description="Seconds that a pod may wait for a node")
    python: str = Field(default="python", description="Python with darts-assets, in the image")
    patience_s: float = Field(default=10, ge=4, description="Seconds without its run after which a job ends")
