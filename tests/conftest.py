"""What several test modules share: the real imagery and the golden arrays, read where they lie."""

import logging
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from support.postgres import Postgres, postgres_server

from darts_core.store import Store

# how long an example takes says nothing on a machine that others use too
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

SHARED = Path(__file__).resolve().parents[2] / "shared"


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
