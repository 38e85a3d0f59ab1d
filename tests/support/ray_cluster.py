"""A Ray cluster of one node, started by the tests."""

import importlib.util
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest


def missing() -> str:
    """Why there can be none here; empty where there can."""
    lacking = [name for name in ("ray", "aiohttp_cors", "opencensus") if importlib.util.find_spec(name) is None]
    return f"needs ray[default], of which {', '.join(lacking)} is not here" if lacking else ""


@contextmanager
def one_node(folder: Path, cpus: int) -> Iterator[str]:
    """The address of the dashboard; what it takes to be let in is in the environment meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        log = folder / "ray.log"
        # the sockets of Ray have paths of at most 107 characters, which those of pytest's folders exceed
        temporary = f"/tmp/ray-{os.getpid()}"
        options = {"num-cpus": cpus, "port": 0, "dashboard-port": 0, "dashboard-host": "127.0.0.1"}
        options |= {"object-store-memory": 80_000_000, "temp-dir": temporary, "include-dashboard": True}
        with open(log, "wb") as output:
            node = subprocess.Popen(
                [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"]
                + [f"--{name}={value}" for name, value in options.items()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            yield _address(node, log)
        finally:
            processes = [psutil.Process(node.pid), *psutil.Process(node.pid).children(recursive=True)]
            node.send_signal(signal.SIGTERM)
            _, left = psutil.wait_procs(processes, timeout=10)
            for process in left:
                process.kill()
            node.wait()
            shutil.rmtree(temporary, ignore_errors=True)


def _listens(host: str, port: int) -> bool:
    with socket.socket() as one:
        one.settimeout(1)
        return one.connect_ex((host, port)) == 0


def _address(node: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + 120
    while True:
        said = re.search(r"RAY_API_SERVER_ADDRESS='http://([^:]+):(\d+)'", log.read_text())
        # it is said before anybody listens there
        if said and _listens(said[1], int(said[2])):
            return f"http://{said[1]}:{said[2]}"
        assert node.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)
