"""Jobs of Ray, on a real cluster of one node."""

import os
import sys
from collections.abc import Iterator

import pytest
from support import ray_cluster
from support.launchers import LauncherConformance, job_of, materialized

from darts_core.store import Store
from resources.accelerator import Accelerator
from resources.launchers.backend import JobError
from resources.launchers.configuration import Launcher, RayConfig


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if reason := ray_cluster.missing():
        pytest.skip(reason)
    with ray_cluster.one_node(tmp_path_factory.mktemp("ray"), cpus=2) as found:
        yield found


class TestRay(LauncherConformance):
    ranks = 1

    @pytest.fixture
    def accelerator(self, address: str) -> Accelerator:
        variables = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
        config = RayConfig(address=address, python=sys.executable, runtime_env={"env_vars": variables})
        return Accelerator(device="cpu", launcher=Launcher.RAY, ray=config)

    @pytest.fixture
    def wrong(self, accelerator: Accelerator) -> tuple[Accelerator, str]:
        config = accelerator.ray.model_copy(update={"gpus_per_rank": 1, "resources": {"licence": 1}})
        told = r"with 4 ranks takes 4 CPU, 4 GPU, 1 licence of one node; the nodes of .* have 2 CPU"
        return accelerator.model_copy(update={"ranks": 4, "ray": config}), told


def test_a_cluster_that_does_not_answer_is_named_before_the_start(tmp_path: object) -> None:
    accelerator = Accelerator(device="cpu", launcher=Launcher.RAY, ray=RayConfig(address="http://127.0.0.1:9"))
    with pytest.raises(JobError, match=r"No Ray cluster takes jobs at http://127\.0\.0\.1:9: .*address in \[ray\]"):
        materialized(job_of(Store(str(tmp_path))), accelerator)
