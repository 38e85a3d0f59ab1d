"""An API server of Kubernetes on loopback that runs what is asked of it: as processes of this machine.

It knows as much as a Job of one pod needs: make, dry run, read, list by label, delete, and the log of the pod. What it
is sent is held against the published schema first. Ended is a pod as a kernel ends it, by its processes one and all.
"""

import json
import os
import signal
import subprocess
import threading
import time
import uuid
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kubernetes_validate
import psutil
import yaml

SCHEMA = "1.34"
POD = "TEST_POD"
"""Variable that marks the processes of a pod."""


class Pod:
    """A pod of one container, which is a process and its descendants."""

    def __init__(self, job: dict[str, Any], folder: Path) -> None:
        self.job, self.name = job, f"{job['metadata']['name']}-{uuid.uuid4().hex[:5]}"
        self.log, self.deleted, self.left = folder / f"{self.name}.log", False, 0
        spec = job["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        self.grace = spec["terminationGracePeriodSeconds"]
        self.unschedulable = "gone" in spec.get("nodeSelector", {})
        self.waiting = "ImagePullBackOff" if container["image"].endswith("missing") else None
        self._process = None
        if not self.unschedulable and self.waiting is None:
            given = {one["name"]: one["value"] for one in container["env"]}
            with open(self.log, "wb") as output:
                self._process = subprocess.Popen(
                    container["command"],
                    env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **given, POD: self.name},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            threading.Thread(target=self._reap, daemon=True).start()
        self.exit_code: int | None = None

    def _reap(self) -> None:
        assert self._process is not None
        code = self._process.wait()
        # the end of its first process is that of a container; what its supervisor has left is counted
        members = self._members()
        self.left = len(members)
        for process in members:
            with suppress(psutil.Error):
                process.kill()
        self.exit_code = code if code >= 0 else 128 - code

    def _members(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(POD) == self.name:
                    found.append(process)
        return found

    def end(self) -> None:
        """SIGTERM to the first process, and SIGKILL when the grace is over."""
        self.deleted = True
        if self._process is not None and self.exit_code is None:
            self._process.send_signal(signal.SIGTERM)
            threading.Timer(self.grace, self._process.kill).start()

    @property
    def gone(self) -> bool:
        return self.deleted and (self._process is None or self.exit_code is not None)

    def status(self) -> dict[str, Any]:
        if self.unschedulable:
            message = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
            unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
            return {"phase": "Pending", "conditions": [unscheduled]}
        state: dict[str, Any] = {"running": {}}
        phase = "Running"
        if self.waiting is not None:
            phase, state = "Pending", {"waiting": {"reason": self.waiting, "message": "no such image"}}
        elif self.exit_code is not None:
            phase = "Failed" if self.exit_code else "Succeeded"
            reason = "Error" if self.exit_code else "Completed"
            state = {"terminated": {"exitCode": self.exit_code, "reason": reason}}
        container = {"name": "job", "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": state}
        return {"phase": phase, "containerStatuses": [container]}

    def describe(self) -> dict[str, Any]:
        labels = self.job["spec"]["template"]["metadata"]["labels"]
        return {"metadata": {"name": self.name, "labels": labels}, "status": self.status()}


class Cluster:
    """One namespace, `test`, of a cluster on which everything fits."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.pods, self.requests = folder, {}, []  # type: ignore[var-annotated]
        self.down = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"cluster": self}))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{self._server.server_port}"
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "test",
                    "clusters": [{"name": "test", "cluster": {"server": address}}],
                    "users": [{"name": "test", "user": {}}],
                    "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
                }
            )
        )

    def stop(self) -> None:
        for pod in self.pods.values():
            pod.end()
        deadline = time.monotonic() + 15
        while any(pod.exit_code is None and pod.log.exists() for pod in self.pods.values()):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        self._server.shutdown()
        self._server.server_close()

    def job(self, pod: Pod) -> dict[str, Any]:
        if pod.exit_code is None:
            return {**pod.job, "status": {"active": 1}}
        kind = "Failed" if pod.exit_code else "Complete"
        return {**pod.job, "status": {"conditions": [{"type": kind, "status": "True"}]}}


class _Handler(BaseHTTPRequestHandler):
    cluster: Cluster

    def _handle(self, method: str) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        address = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        self.cluster.requests.append((method, address.path))
        if self.cluster.down:
            self._answer(503, {"message": "the server is currently unable to handle the request"})
            return
        namespace, kind = address.path.split("/namespaces/")[1].split("/", 1)
        if namespace != "test":
            self._answer(404, {"message": f'namespaces "{namespace}" not found'})
            return
        status, answer = self._route(method, kind, query, body)
        self._answer(status, answer)

    def _route(self, method: str, kind: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        pods = {name: pod for name, pod in self.cluster.pods.items() if not pod.gone}
        name = kind.split("/")[1] if "/" in kind else ""
        if method == "POST" and kind == "jobs":
            return self._make(body, query)
        if kind in ("jobs", "pods"):
            wanted = dict(pair.split("=") for pair in query.get("labelSelector", "").split(",") if pair)
            chosen = [pod for pod in pods.values() if wanted.items() <= pod.job["metadata"]["labels"].items()]
            return 200, {"items": [self.cluster.job(pod) if kind == "jobs" else pod.describe() for pod in chosen]}
        if kind.startswith("jobs/") and name in pods:
            if method == "DELETE":
                assert query["propagationPolicy"] == "Foreground"
                pods[name].end()
            return 200, self.cluster.job(pods[name])
        for pod in pods.values():
            if kind == f"pods/{pod.name}/log":
                started = pod.log.exists()
                return (200, pod.log.read_bytes()) if started else (400, {"message": "container is waiting to start"})
        return 404, {"message": f"{kind} not found"}

    def _make(self, body: Any, query: dict[str, str]) -> tuple[int, Any]:
        try:
            kubernetes_validate.validate(body, SCHEMA, strict=True)
        except kubernetes_validate.ValidationError as error:
            return 422, {"message": error.message}
        if query.get("dryRun") == "All":
            return 201, body
        self.cluster.pods[body["metadata"]["name"]] = Pod(body, self.cluster.folder)
        return 201, body

    def _answer(self, status: int, answer: Any) -> None:
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(answer, bytes) else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        self._handle("GET")

    def do_POST(self) -> None:
        self._handle("POST")

    def do_DELETE(self) -> None:
        self._handle("DELETE")

    def log_message(self, format: str, *args: Any) -> None:
        """No line a request."""
