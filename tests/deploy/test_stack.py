"""The services of the compose file, started by hand where containers cannot run: the same commands and checks."""

import asyncio
import base64
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.deliveries import key_of, write_delivery
from support.models import write_checkpoint
from support.postgres import free_port

from darts_core.store import Store

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())
BIN = Path(sys.executable).parent
PATIENCE_S = 120
PASSWORD = "correct horse"

pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx (Debian: nginx-light)")


@dataclass(frozen=True)
class Stack:
    """What is running."""

    home: Path
    environment: dict[str, str]
    ports: dict[str, int]
    url: str
    """Of the proxy."""

    def command(self, words: Sequence[str]) -> list[str]:
        """A command of the compose file, on loopback and on our ports."""
        places = {"0.0.0.0": "127.0.0.1", "4000": str(self.ports["code"]), "3000": str(self.ports["webserver"])}
        places["/data/dagster/workspace.yaml"] = str(self.home / "dagster" / "workspace.yaml")
        return [re.sub(r"127.0.0.1:3000", f"127.0.0.1:{places['3000']}", places.get(word, word)) for word in words]

    def run(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(words), env=self.environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )

    def ask(self, path: str, *, password: str | None = PASSWORD, body: Any = None, url: str | None = None) -> Any:
        """What an address answers: JSON, or the status where it refuses."""
        request = urllib.request.Request((url or self.url) + path)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        if password is not None:
            request.add_header("Authorization", f"Basic {base64.b64encode(f'ann:{password}'.encode()).decode()}")
        try:
            with urllib.request.urlopen(request, context=UNCHECKED, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code


UNCHECKED = ssl._create_unverified_context()  # the certificate is our own


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, postgres: Any, s3: str) -> Iterator[Stack]:
    """PostgreSQL, an object store, the code location, the daemon, two webservers, and nginx in front of one of them."""
    home = tmp_path_factory.mktemp("stack")
    ports = {name: free_port() for name in ("code", "webserver", "second", "proxy")}
    environment = {name: str(value) for name, value in COMPOSE["x-darts"]["environment"].items()}
    environment |= {name: value for name, value in os.environ.items() if name in ("HOME", "PYTHONPATH")}
    environment |= {
        "PATH": f"{BIN}:/usr/bin:/bin",
        "DARTS_HOME": str(home),
        "DAGSTER_HOME": str(home / "dagster"),
        "DAGSTER_POSTGRES_URL": postgres.database(),
        "DARTS_S3_ENDPOINT": s3,
        "DARTS_SCENES": str(home / "scenes"),
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    (home / "dagster").mkdir()
    shutil.copy(DEPLOY / "dagster-postgres.yaml", home / "dagster" / "dagster.yaml")
    workspace = (DEPLOY / "compose" / "workspace.yaml").read_text()
    workspace = workspace.replace("host: code", "host: 127.0.0.1").replace("4000", str(ports["code"]))
    (home / "dagster" / "workspace.yaml").write_text(workspace)
    write_delivery(home / "scenes", "T08WNB")
    (home / "checkpoints").mkdir()
    write_checkpoint(home / "checkpoints" / "bright.pt")
    stack = Stack(home, environment, ports, f"https://127.0.0.1:{ports['proxy']}")
    with ExitStack() as running:
        made = stack.run(COMPOSE["services"]["bucket"]["command"])
        assert made.returncode == 0, made.stderr
        running.enter_context(started(stack, "code", COMPOSE["services"]["code"]["command"]))
        until_healthy(stack, "code")
        for name in ("webserver", "daemon"):
            running.enter_context(started(stack, name, COMPOSE["services"][name]["command"]))
        second = [
            str(ports["second"]) if word == "3000" else word for word in COMPOSE["services"]["webserver"]["command"]
        ]
        running.enter_context(started(stack, "second", second))
        running.enter_context(proxy(stack))
        for name in ("webserver", "daemon"):
            until_healthy(stack, name)
        until(lambda: stack.ask("/server_info", url=f"http://127.0.0.1:{ports['second']}"))
        yield stack


@contextmanager
def started(stack: Stack, name: str, words: Sequence[str]) -> Iterator[None]:
    """A service; ends with all its processes."""
    with open(stack.home / f"{name}.log", "wb") as log:
        process = subprocess.Popen(
            stack.command(words), cwd=stack.home, env=stack.environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextmanager
def proxy(stack: Stack) -> Iterator[None]:
    """Nginx with our configuration, as its image and the page for systemd fill it in."""
    folder = stack.home / "proxy"
    folder.mkdir()
    folder.chmod(0o755)
    hashed = subprocess.run(["openssl", "passwd", "-6", PASSWORD], capture_output=True, text=True, check=True).stdout
    (folder / "htpasswd").write_text(f"ann:{hashed}")
    certificate = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run(
        ["openssl", *certificate, "-keyout", folder / "tls.key", "-out", folder / "tls.crt"],
        capture_output=True,
        check=True,
    )
    text = (DEPLOY / "nginx.conf.template").read_text()
    filled = {"LISTEN": f"127.0.0.1:{stack.ports['proxy']}", "CREDENTIALS": str(folder)}
    filled["WEBSERVER"] = f"127.0.0.1:{stack.ports['webserver']}"
    for name, value in filled.items():
        text = text.replace(f"${{{name}}}", value)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"user root; daemon off; pid {folder}/pid; error_log {folder}/errors; events {{}}\n"
        f"http {{ access_log off; {temporary}\n{text} }}"
    )
    command = [shutil.which("nginx") or "", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    tested = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stderr
    with started(stack, "nginx", command):
        yield


def until(condition: Any, patience_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            if condition():
                return
        except OSError:
            pass
        assert time.monotonic() < deadline, "what should have come has not"
        time.sleep(1)


def until_healthy(stack: Stack, name: str) -> None:
    """The health check of the compose file passes."""
    kind, *words = COMPOSE["services"][name]["healthcheck"]["test"]
    assert kind == "CMD"
    deadline = time.monotonic() + PATIENCE_S
    while (done := stack.run(words)).returncode:
        log = (stack.home / f"{name}.log").read_text()
        assert time.monotonic() < deadline, f"{done.stdout}{done.stderr}\n{log}"
        time.sleep(1)


@pytest.mark.parametrize("path", ["/", "/server_info", "/graphql", "/logs/any", "/asset-groups"])
@pytest.mark.parametrize("password", [None, "wrong"])
def test_nothing_answers_without_the_password(stack: Stack, path: str, password: str | None) -> None:
    assert stack.ask(path, password=password, body={"query": "{version}"} if path == "/graphql" else None) == 401


def test_with_the_password_the_ui_and_graphql_answer(stack: Stack) -> None:
    assert stack.ask("/server_info")["dagster_version"]
    assert stack.ask("/graphql", body={"query": "{version}"})["data"]["version"]


def test_a_websocket_needs_the_password_too(stack: Stack) -> None:
    async def status(password: str) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", stack.ports["proxy"], ssl=UNCHECKED)
        lines = [
            "GET /graphql HTTP/1.1",
            "Host: localhost",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Protocol: graphql-ws",
            f"Sec-WebSocket-Key: {base64.b64encode(uuid.uuid4().bytes).decode()}",
            f"Authorization: Basic {base64.b64encode(f'ann:{password}'.encode()).decode()}",
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        answer = await asyncio.wait_for(reader.readline(), 30)
        writer.close()
        return answer

    assert b" 101 " in asyncio.run(status(PASSWORD))
    assert b" 401 " in asyncio.run(status("wrong"))


def test_plain_http_is_refused(stack: Stack) -> None:
    assert stack.ask("/server_info", url=f"http://127.0.0.1:{stack.ports['proxy']}") == 400


def test_a_scene_that_arrives_is_processed_into_the_bucket_and_both_webservers_tell(stack: Stack) -> None:
    for sensor in ("new_scenes", "process_new_scenes"):
        answer = stack.ask("/graphql", body={"query": START, "variables": {"sensor": sensor}})
        assert answer["data"]["startSensor"]["__typename"] == "Sensor", answer
    store = Store(stack.environment["DARTS_PRODUCTS"], {"endpoint_url": stack.environment["DARTS_S3_ENDPOINT"]})
    until(lambda: store.partitions("slump_polygons") == [key_of("T08WNB")], 300)
    store.current("slump_polygons", key_of("T08WNB")).verify()
    second = f"http://127.0.0.1:{stack.ports['second']}"
    query = {"query": "{runsOrError(filter:{statuses:[SUCCESS]}){... on Runs{results{id}}}}"}
    until(lambda: stack.ask("/graphql", body=query)["data"]["runsOrError"]["results"])
    assert stack.ask("/graphql", body=query, url=second) == stack.ask("/graphql", body=query)
    told = stack.run(["darts-assets", "status", "--json"])
    assert json.loads(told.stdout)["scenes"]["2021"]["made"] == 1, told.stderr


START = """mutation ($sensor: String!) { startSensor(sensorSelector: {repositoryName: "__repository__",
  repositoryLocationName: "darts_assets", sensorName: $sensor}) { __typename ... on PythonError { message } } }"""
