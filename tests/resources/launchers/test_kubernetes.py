"""Jobs of Kubernetes: manifests against the published schema, and every path on a server of the tests."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import kubernetes_validate
import pytest
from support.kubernetes import SCHEMA, Cluster
from support.launchers import LauncherConformance, alive, job_of, materialized, start_run, wait_until

from darts_core.store import Store
from resources.accelerator import Accelerator
from resources.launchers.backend import JobError, Request
from resources.launchers.configuration import KubernetesConfig, Launcher
from resources.launchers.kubernetes import KubernetesBackend


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    folder = tmp_path / "cluster"
    folder.mkdir()
    running = Cluster(folder)
    monkeypatch.setenv("KUBECONFIG", str(running.kubeconfig))
    yield running
    running.stop()


CONFIG = KubernetesConfig(
    image="darts-assets:test",
    namespace="test",
    python=sys.executable,
    env={name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ},
)


class TestKubernetes(LauncherConformance):
    ranks = 1

    @pytest.fixture
    def accelerator(self, cluster: Cluster) -> Accelerator:
        return Accelerator(device="cpu", launcher=Launcher.KUBERNETES, kubernetes=CONFIG)

    @pytest.fixture
    def wrong(self, cluster: Cluster) -> tuple[Accelerator, str]:
        config = CONFIG.model_copy(update={"limits": {"nvidia.com/gpu": "1"}})
        told = "2 ranks on the device 'cuda' need a GPU each, and the limits of the pod have 1"
        return Accelerator(device="cuda", launcher=Launcher.KUBERNETES, ranks=2, kubernetes=config), told

    def test_the_supervisor_and_not_the_end_of_the_pod_ends_the_ranks(
        self, accelerator: Accelerator, products: Store, stubborn: tuple[str, ...], cluster: Cluster
    ) -> None:
        run = start_run(accelerator, job_of(products), stubborn)
        pids = self.started(stubborn)
        run.kill()
        wait_until(lambda: not any(map(alive, pids)), 15)
        (pod,) = cluster.pods.values()
        wait_until(lambda: pod.exit_code is not None)
        assert (pod.left, pod.deleted) == (0, False), "it noticed by itself that its run was gone"

    def test_a_run_that_comes_back_in_time_takes_the_job_up(
        self, accelerator: Accelerator, products: Store, stubborn: tuple[str, ...], cluster: Cluster
    ) -> None:
        patient = accelerator.model_copy(update={"kubernetes": CONFIG.model_copy(update={"patience_s": 20})})
        run = start_run(patient, job_of(products), stubborn)
        pids = self.started(stubborn)
        run.kill()
        killed = time.monotonic()
        again = start_run(patient, job_of(products), stubborn)
        while time.monotonic() < killed + 24:  # longer than a job waits for a run that is gone
            assert all(map(alive, pids))
            time.sleep(0.5)
        Path(stubborn[1], "stop").touch()
        assert again.wait(60) == 0, again.communicate()[1]
        assert self.pids(stubborn) == pids
        assert len(cluster.pods) == 1

    def test_a_server_that_is_away_for_a_while_is_waited_for(
        self, accelerator: Accelerator, products: Store, stubborn: tuple[str, ...], cluster: Cluster
    ) -> None:
        run = start_run(accelerator, job_of(products), stubborn)
        self.started(stubborn)
        cluster.down = True
        asked = len(cluster.requests)
        wait_until(lambda: len(cluster.requests) > asked + 3)
        cluster.down = False
        Path(stubborn[1], "stop").touch()
        assert run.wait(60) == 0, run.communicate()[1]

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"image": ""}, "set image in"),
            ({"namespace": "elsewhere"}, 'Kubernetes answers 404 .*namespaces "elsewhere" not found'),
            ({"tolerations": [{"kee": "gpu"}]}, "Kubernetes answers 422 .*kee"),
            ({"image": "missing"}, "does not start: ImagePullBackOff: no such image"),
            ({"node_selector": {"gone": "yes"}, "pending_limit_s": 1}, "does not start: 0/1 nodes are available"),
            ({"context": "nowhere"}, "No Kubernetes cluster is configured: .*context nowhere"),
        ],
    )
    def test_what_kubernetes_refuses_or_cannot_start_is_said(
        self, accelerator: Accelerator, products: Store, cluster: Cluster, change: dict[str, object], told: str
    ) -> None:
        wrong = accelerator.model_copy(update={"kubernetes": CONFIG.model_copy(update=change)})
        with pytest.raises(JobError, match=f"(?s){told}"):
            materialized(job_of(products), wrong)
        assert all(pod.deleted for pod in cluster.pods.values()), "what does not start is not left waiting"


def test_a_server_out_of_reach_is_named(products: Store, cluster: Cluster) -> None:
    cluster.stop()
    accelerator = Accelerator(device="cpu", launcher=Launcher.KUBERNETES, kubernetes=CONFIG)
    with pytest.raises(JobError, match=r"The API server of Kubernetes cannot be reached: .*127\.0\.0\.1"):
        materialized(job_of(products), accelerator)


@pytest.fixture
def products(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def test_the_manifest_follows_the_published_schema_and_says_what_is_configured(
    products: Store, cluster: Cluster
) -> None:
    config = KubernetesConfig(
        image="registry/darts-assets:1",
        namespace="thaw",
        service_account="darts",
        node_selector={"gpu": "a100"},
        tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        requests={"cpu": "4", "memory": "16Gi"},
        limits={"nvidia.com/gpu": "2"},
        env={"AWS_REGION": "eu"},
        env_from=["s3-credentials"],
        volumes=[{"name": "models", "persistentVolumeClaim": {"claimName": "models"}}],
        volume_mounts=[{"name": "models", "mountPath": "/models", "readOnly": True}],
        image_pull_secrets=["registry"],
    )
    job = job_of(products, ranks=2, device="cuda")
    request = Request(job.model_copy(update={"store": job.store.model_copy(update={"endpoint_url": "http://s3:9000"})}))
    manifest = KubernetesBackend(config).manifest(request, {"DAGSTER_PIPES_CONTEXT": "c"}, f"{request.name}-1a2b3c4d")
    kubernetes_validate.validate(manifest, SCHEMA, strict=True)
    assert len(manifest["metadata"]["name"]) <= 63
    pod = manifest["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["serviceAccountName"] == "darts"
    assert container["resources"] == {"requests": config.requests, "limits": config.limits}
    assert container["envFrom"] == [{"secretRef": {"name": "s3-credentials"}}]
    assert container["env"] == [{"name": "AWS_REGION", "value": "eu"}, {"name": "DAGSTER_PIPES_CONTEXT", "value": "c"}]
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp", "/dev/shm", "/models"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["command"][:9] == [
        *("python", "-m", "resources.supervisor", "--store", products.root),
        *("--endpoint", "http://s3:9000", "--name", request.name),
    ]
    bare = KubernetesBackend(KubernetesConfig(image="i")).manifest(request, {}, "x")
    kubernetes_validate.validate(bare, SCHEMA, strict=True)
    assert not bare["spec"]["template"]["spec"]["automountServiceAccountToken"]
