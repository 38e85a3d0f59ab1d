"""A PostgreSQL of the tests' own: from Debian's programs, on a loopback port, in a folder that goes with it.

``with postgres_server() as server`` starts one; `Postgres.database` makes an empty database in it and gives its URL;
`write_dagster_yaml` lays into a home the project's `dagster.yaml` with such a database as Dagster's storage. Most tests
take the fixture `postgres_url` in place of all that: an empty database on the one server of the session.
"""

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
USER = "postgres"
"""Who runs it where we are root, for the server refuses root; and its superuser."""
_PATIENCE = 60.0
"""Seconds for a start or an end."""
_PR_SET_PDEATHSIG = 1


def programs() -> Path | None:
    """Folder of the newest PostgreSQL of this machine, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    other = shutil.which("initdb")
    return Path(other).parent if other else None


@dataclass
class Postgres:
    """One server; it can be stopped and started again, its data stays."""

    folder: Path
    port: int
    password: str = field(repr=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    def start(self) -> None:
        """Start it and wait until it answers. It ends with this process, however this ends."""
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(self.folder), "fsync": "off"}
        command = [str(_bin() / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port)]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with open(self.folder / "server.log", "ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=log, preexec_fn=_end_with_parent, **_as_user()
            )
        until = time.monotonic() + _PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"PostgreSQL does not start: {(self.folder / 'server.log').read_text()}")
            time.sleep(0.1)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: by SIGINT it closes every connection first, by SIGQUIT as in a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(_PATIENCE)
            self._process = None

    def database(self, *, socket: bool = False) -> str:
        """URL of a new, empty database, by password over the network or by the server's socket without one."""
        name = f"test_{secrets.token_hex(8)}"
        self.run("psql", "-d", USER, "-c", f"CREATE DATABASE {name}")
        if socket:
            return f"postgresql://{USER}@/{name}?host={self.folder}&port={self.port}"
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{name}"

    def run(self, program: str, *arguments: str) -> str:
        """What a program of PostgreSQL prints when it is pointed to this server."""
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", USER]
        environment = {**os.environ, "PGPASSWORD": self.password}
        done = subprocess.run(
            [str(_bin() / program), *where, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _answers(self) -> bool:
        question = [str(_bin() / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(question, check=False).returncode == 0


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """A server that runs while this context lasts; skips the test where PostgreSQL is not installed."""
    if programs() is None:
        pytest.skip("needs PostgreSQL's initdb (Debian: postgresql), which is not here")
    folder = Path(tempfile.mkdtemp(prefix="darts-postgres-"))
    server = Postgres(folder, free_port(), secrets.token_hex(16))
    try:
        secret = folder / "password"
        secret.write_text(server.password)
        if os.geteuid() == 0:
            shutil.chown(folder, USER, USER), shutil.chown(secret, USER, USER)
        made = [str(_bin() / "initdb"), "-D", str(folder / "data"), "-U", USER, "--no-sync"]
        made += ["--auth-host", "scram-sha-256", "--auth-local", "trust"]
        subprocess.run([*made, "--pwfile", str(secret)], cwd=folder, check=True, capture_output=True, **_as_user())
        server.start()
        yield server
    finally:
        server.stop(signal.SIGQUIT)
        shutil.rmtree(folder)


def write_dagster_yaml(home: Path, url: str) -> Path:
    """The project's `dagster.yaml` in the folder `home`, which DAGSTER_HOME is to name, with PostgreSQL as storage."""
    config = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    config["storage"] = {"postgres": {"postgres_url": url}}
    home.mkdir(parents=True, exist_ok=True)
    file = home / "dagster.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


def _bin() -> Path:
    found = programs()
    assert found is not None
    return found


def _as_user() -> dict[str, object]:
    return {"user": USER, "group": USER, "extra_groups": []} if os.geteuid() == 0 else {}


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
