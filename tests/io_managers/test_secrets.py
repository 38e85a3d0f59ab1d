"""The secret key of an object store is in no log, no metadata, no error, no object and no file of Dagster's."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from support.faulty_s3 import faulty

from darts_core.store import Store

SECRET = "wJalrXUtnFEMI-K7MDENG-not-a-real-key"
TOKEN = "FwoGZXIvYXdzE-not-a-real-token"

RUN = """
import logging, os, sys
import dagster as dg
from support.datasets import preprocessed_dataset
from io_managers.base import Made, StoreResource
from io_managers.zarr import ZarrIOManager

logging.basicConfig(level=logging.DEBUG)

@dg.asset(io_manager_key="manager", partitions_def=dg.StaticPartitionsDefinition(["one"]))
def product() -> dg.MaterializeResult:
    return dg.MaterializeResult(value=Made("v1", preprocessed_dataset(), lambda stored: {"rows": stored.sizes["y"]}))

store = StoreResource(root=sys.argv[1], endpoint_url=sys.argv[2])
print(store, repr(store), repr(store.open()), store.open().fs)
with dg.DagsterInstance.from_config(os.environ["DAGSTER_HOME"]) as instance:
    manager = ZarrIOManager(store=store)
    made = dg.materialize(
        [product], instance=instance, partition_key="one", resources={"manager": manager}, raise_on_error=False
    )
print("succeeded" if made.success else "failed")
"""


@pytest.mark.parametrize("ending", ["succeeded", "failed"])
def test_it_is_nowhere(ending: str, s3: str, tmp_path: Path) -> None:
    bucket = f"s3://test-{uuid.uuid4().hex}"
    store = Store(bucket, {"endpoint_url": s3})
    store.fs.mkdir(bucket)
    with faulty(s3) as proxy:
        if ending == "failed":
            proxy.fail("500", method="PUT", part="manifest.json")
        secrets = {"AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": TOKEN}
        paths = os.pathsep.join(("tests", os.environ.get("PYTHONPATH", "")))
        done = subprocess.run(
            [sys.executable, "-c", RUN, bucket, proxy.url],
            env={**os.environ, **secrets, "DAGSTER_HOME": str(tmp_path), "PYTHONPATH": paths},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            check=False,
        )
    assert done.stdout.decode().splitlines()[-1] == ending, done.stderr.decode()[-3000:]
    written = {file.name: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    assert any(name.endswith(".db") for name in written), "Dagster has recorded the run"
    stored = store.fs.cat(store.fs.find(bucket))
    assert stored
    for name, content in {**written, **stored, "stdout": done.stdout, "stderr": done.stderr}.items():
        assert SECRET.encode() not in content, name
        assert TOKEN.encode() not in content, name
