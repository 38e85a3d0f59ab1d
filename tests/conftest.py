"""What several test modules share: the real imagery and the golden arrays, read where they lie."""

import logging
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from support.postgres import Postgres, postgres_server

from darts_core.store import Store

# how long an example takes says nothing on a machine that others use too; the examples are the same each time, so that
# a run that fails has found something in the change: --hypothesis-profile=search looks for new ones
settings.register_profile("search", deadline=None)
settings.register_profile("same", deadline=None, derandomize=True)
settings.load_profile("same")

# threads of torch and BLAS that share cores with other processes wait for each other, for ten times the work
os.environ.setdefault("OMP_NUM_THREADS", "1")

# workers have one, and a console that is made at import keeps it, whatever width a test sets
os.environ.pop("COLUMNS", None)

SHARED = Path(__file__).resolve().parents[2] / "shared"
LONG = (
    "assets/test_demo.py",
    # these need no demo, while the worker of the first makes it
    "deploy/test_stack.py",
    "deploy/test_upgrade.py",
    "resources/launchers/test_slurm.py",
    "resources/launchers/test_ray.py",
    "resources/launchers/test_ranks.py",
    "assets/test_postgres.py",
    "resources/launchers/test_kubernetes.py",
    "resources/launchers/test_local.py",
    "resources/launchers/test_supervisor.py",
    "assets/test_ui.py",
    "assets/test_unattended.py",
    "assets/test_recovery.py",
    "assets/test_together.py",
    "assets/test_backfill.py",
    "assets/test_batches.py",
)
"""Files that take long, with which workers beside each other begin, so that they end at about the same time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {Path(__file__).parent / name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


def _shared_folder(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"needs shared/{name} beside the checkout, which is not here")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real Earth-observation input; its README lists what is there."""
    return _shared_folder("data")


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of golden arrays of today's DARTS and opensr-utils."""
    return _shared_folder("golden")


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """Endpoint of an S3 server on loopback, with throw-away credentials in the environment."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line a request buries what a failing test says
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL on loopback. A test that stops it takes `postgres_server` for one of its own."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """URL of an empty database."""
    return postgres.database()


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store: every test that takes it runs on a local folder and on S3."""
    if request.param == "folder":
        return Store(str(tmp_path / "store"))
    bucket = f"s3://test-{uuid.uuid4().hex}"
    store = Store(bucket, {"endpoint_url": request.getfixturevalue("s3")})
    store.fs.mkdir(bucket)
    return store


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 16 MB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(place)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a tmpfs, which is not here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)
