"""Jobs of Kubernetes: a Job of one pod for each, watched through the log of the pod.

The pod and this machine share nothing but the store. A job ends by itself when its run has given no sign of life for a
while; the next run of the same products that comes before that goes on watching it. All ranks are in the one pod.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from resources.launchers.backend import JobError, Request, State, Unreachable, read_requests
from resources.launchers.configuration import KubernetesConfig
from resources.processes import GRACE

if TYPE_CHECKING:
    from kubernetes import client as api

NAME, LAUNCH = "darts-assets/job", "darts-assets/launch"
"""Labels: what the job makes, and this one attempt at it."""
GPU = "nvidia.com/gpu"
TERMINATION = 10
"""Seconds from SIGTERM to SIGKILL of a pod; the supervisor needs `GRACE` of them."""
KEPT = 3600
"""Seconds that an ended Job stays, to be looked at with kubectl."""
HOPELESS = {"ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError"}
"""Reasons to wait that no waiting helps."""

Answer = TypeVar("Answer")


class KubernetesBackend:
    """A namespace of a cluster."""

    def __init__(self, config: KubernetesConfig) -> None:
        self._config = config
        try:
            from kubernetes import client

            connection = _client(config)
            self._batch, self._core = client.BatchV1Api(connection), client.CoreV1Api(connection)
        except ImportError as error:
            raise JobError(f"The launcher kubernetes needs the package kubernetes ({error})") from error

    def check(self, request: Request) -> None:
        """Have the API server judge the Job without making it.

        Raises:
            JobError: what it refuses; fewer GPUs than ranks; a server out of reach.
        """
        if not self._config.image:
            raise JobError("A pod needs an image with darts-assets in it: set image in [kubernetes]")
        job, gpus = request.job, int(self._config.limits.get(GPU, 0))
        if (job.device != "cpu" and 0 < gpus < job.ranks) or (job.device.startswith("cuda") and not gpus):
            raise JobError(
                f"{job.ranks} ranks on the device {job.device!r} need a GPU each, and the limits of the pod have "
                f"{gpus}: set {GPU!r} in [kubernetes.limits]"
            )
        _asked(
            lambda: self._batch.create_namespaced_job(
                self._config.namespace, self.manifest(request, {}, "check"), dry_run="All"
            )
        )

    def laid(self, request: Request) -> Iterator[Request]:
        """The jobs in the store."""
        return read_requests(request.exchange.jobs())

    def find(self, request: Request) -> KubernetesJob | None:
        """The Job of this name that has not ended."""
        selector = f"{NAME}={request.name}"
        jobs = _asked(lambda: self._batch.list_namespaced_job(self._config.namespace, label_selector=selector))
        running = [job for job in jobs.items if not _ended(job) and job.metadata.deletion_timestamp is None]
        return self._launched(running[0].metadata.labels[LAUNCH], request) if running else None

    def submit(self, request: Request, variables: Mapping[str, str]) -> KubernetesJob:
        """Lay the job into the store, and have a Job made of it.

        Raises:
            JobError: the API server refuses it.
        """
        launch = f"{request.name}-{uuid.uuid4().hex[:8]}"
        request.exchange.put(request.text.encode())
        manifest = self.manifest(request, variables, launch)
        _asked(lambda: self._batch.create_namespaced_job(self._config.namespace, manifest))
        return self._launched(launch, request)

    def _launched(self, launch: str, request: Request) -> KubernetesJob:
        return KubernetesJob(self._batch, self._core, self._config, launch, request)

    def manifest(self, request: Request, variables: Mapping[str, str], launch: str) -> dict[str, Any]:
        """The Job, as `kubectl apply` would take it."""
        config = self._config
        labels = {"app.kubernetes.io/name": "darts-assets", NAME: request.name, LAUNCH: launch}
        pod = {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": TERMINATION,
            "automountServiceAccountToken": config.service_account is not None,
            "serviceAccountName": config.service_account,
            "nodeSelector": config.node_selector,
            "tolerations": config.tolerations,
            "imagePullSecrets": [{"name": name} for name in config.image_pull_secrets],
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [self._container(request, variables)],
            "volumes": [
                {"name": "tmp", "emptyDir": {}},
                {"name": "shm", "emptyDir": {"medium": "Memory"}},  # where ranks and readers meet
                *config.volumes,
            ],
        }
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": launch, "labels": labels},
            "spec": {
                # what is lost is found by the next run, which computes the rest only
                "backoffLimit": 0,
                "ttlSecondsAfterFinished": KEPT,
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {name: value for name, value in pod.items() if value not in (None, [], {})},
                },
            },
        }

    def _container(self, request: Request, variables: Mapping[str, str]) -> dict[str, Any]:
        config = self._config
        container = {
            "name": "job",
            "image": config.image,
            "command": request.supervised_from_store(config.python, config.patience_s, GRACE),
            "env": [{"name": name, "value": value} for name, value in {**config.env, **variables}.items()],
            "envFrom": [{"secretRef": {"name": name}} for name in config.env_from],
            "resources": {
                kind: chosen for kind, chosen in (("requests", config.requests), ("limits", config.limits)) if chosen
            },
            "volumeMounts": [
                {"name": "tmp", "mountPath": "/tmp"},
                {"name": "shm", "mountPath": "/dev/shm"},
                *config.volume_mounts,
            ],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
        }
        return {name: value for name, value in container.items() if value not in ([], {})}


class KubernetesJob:
    """A Job, whoever made it; while this lives, it knows that somebody waits for it."""

    def __init__(
        self, batch: api.BatchV1Api, core: api.CoreV1Api, config: KubernetesConfig, launch: str, request: Request
    ) -> None:
        self._batch, self._core, self._config, self._launch = batch, core, config, launch
        self._exchange = request.exchange
        self._stop_beating = self._exchange.keep_alive()
        self._read, self._waiting_since = 0, time.monotonic()

    def __str__(self) -> str:
        return f"the Job {self._launch} in {self._config.namespace}"

    def state(self) -> State:
        """See `Launched`.

        Raises:
            JobError: no node takes the pod, or its image cannot be had.
        """
        job = _asked(lambda: self._batch.read_namespaced_job_status(self._launch, self._config.namespace), gone=True)
        if job is None:
            return State(running=False, note="it was deleted")
        pods = self._pods()
        note = "; ".join(filter(None, map(_trouble, pods)))
        if _ended(job):
            return State(running=False, note=note)
        if any(pod.status.phase != "Pending" for pod in pods):
            self._waiting_since = time.monotonic()
        elif time.monotonic() - self._waiting_since > self._config.pending_limit_s or _hopeless(pods):
            raise JobError(f"{self} does not start: {note or 'it has no pod'}")
        return State(running=True, note=note)

    def output(self) -> str:
        pods = self._pods()
        if not pods:
            return ""
        answer = _asked(
            lambda: self._core.read_namespaced_pod_log(
                pods[-1].metadata.name, self._config.namespace, container="job", _preload_content=False
            ),
            gone=True,
        )
        text = b"" if answer is None else answer.data
        # a line may be half written
        part = text[self._read : text.rfind(b"\n") + 1]
        self._read += len(part)
        return part.decode(errors="replace")

    def end(self) -> None:
        """Delete it, and wait until no pod is left.

        Raises:
            JobError: one is.
        """
        namespace = self._config.namespace
        _asked(
            lambda: self._batch.delete_namespaced_job(self._launch, namespace, propagation_policy="Foreground"),
            gone=True,
        )
        deadline = time.monotonic() + TERMINATION + 3
        while pods := self._pods():
            if time.monotonic() > deadline:
                raise JobError(f"{self} was deleted, and its pod {pods[0].metadata.name} is still there")
            time.sleep(0.25)

    def remove(self) -> None:
        self._stop_beating()
        self._exchange.remove()

    def _pods(self) -> list[Any]:
        selector = f"{LAUNCH}={self._launch}"
        found = _asked(lambda: self._core.list_namespaced_pod(self._config.namespace, label_selector=selector))
        return sorted(found.items, key=lambda pod: str(pod.metadata.creation_timestamp))


def _client(config: KubernetesConfig) -> api.ApiClient:
    """From a kubeconfig, or, inside a cluster, from the account of this pod."""
    from kubernetes.client import ApiClient, Configuration
    from kubernetes.config import ConfigException, load_incluster_config, new_client_from_config

    try:
        if "KUBERNETES_SERVICE_HOST" in os.environ and config.context is None:
            load_incluster_config(chosen := Configuration())
            return ApiClient(chosen)
        return new_client_from_config(os.environ.get("KUBECONFIG"), config.context)
    except ConfigException as error:
        raise JobError(
            f"No Kubernetes cluster is configured: {error}. Expected a kubeconfig (KUBECONFIG or ~/.kube/config) with "
            f"the context {config.context or 'that is current'}, or to run in a pod with an account"
        ) from error


def _ended(job: Any) -> bool:
    return any(
        condition.type in ("Complete", "Failed") and condition.status == "True"
        for condition in job.status.conditions or ()
    )


def _trouble(pod: Any) -> str:
    """What is wrong with a pod, or keeps it waiting."""
    unscheduled = [one.message for one in pod.status.conditions or () if one.reason == "Unschedulable"]
    waiting = [one.state.waiting for one in pod.status.container_statuses or () if one.state.waiting]
    ended = [one.state.terminated for one in pod.status.container_statuses or () if one.state.terminated]
    said = [
        *(str(message) for message in unscheduled),
        *(f"{one.reason}: {one.message}" if one.message else str(one.reason) for one in waiting),
        *(f"{one.reason}, status {one.exit_code}" for one in ended if one.exit_code),
        *([f"{pod.status.reason}: {pod.status.message}"] if pod.status.reason else []),
    ]
    return "; ".join(said)


def _hopeless(pods: list[Any]) -> bool:
    statuses = [status for pod in pods for status in pod.status.container_statuses or ()]
    return any(status.state.waiting and status.state.waiting.reason in HOPELESS for status in statuses)


def _asked(question: Callable[[], Answer], *, gone: bool = False) -> Any:
    """The answer; None, where `gone` allows it, of what is not there or has not begun.

    Raises:
        Unreachable: no answer, or one that a later question may get.
        JobError: a refusal.
    """
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    try:
        return question()
    except ApiException as error:
        if gone and error.status in (400, 404):
            return None
        said = f"Kubernetes answers {error.status} {error.reason}: {_message(error.body)}"
        if error.status == 429 or (error.status or 0) >= 500:
            raise Unreachable(said) from error
        raise JobError(said) from error
    except HTTPError as error:
        raise Unreachable(f"The API server of Kubernetes cannot be reached: {error}") from error


def _message(body: Any) -> str:
    """What the API server says in the body of a refusal, or a proxy in its place."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, TypeError, KeyError):
        return str(body or "").strip()[:500]
