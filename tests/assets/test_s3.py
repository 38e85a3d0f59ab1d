"""Scenes and products in an object store, by configuration only: the assets are the same, and so are the bytes."""

import subprocess
import uuid
from pathlib import Path

from support.demo import DARTS_ASSETS, PER_SCENE, Demo, assert_same_products, plain_environment

from darts_core.store import Store


def test_a_scene_in_s3_becomes_the_same_products_in_s3(demo: Demo, checkpoints: Path, s3: str, tmp_path: Path) -> None:
    bucket = f"s3://test-{uuid.uuid4().hex}"
    store = Store(f"{bucket}/products", {"endpoint_url": s3})
    store.fs.mkdir(bucket)
    store.fs.put(str(demo.world / "scenes" / "planet_order"), f"{bucket}/inbox/planet_order", recursive=True)
    command = [DARTS_ASSETS, "run", f"{bucket}/inbox", "--home", str(tmp_path), "--checkpoints", str(checkpoints)]
    command += ["--upscaler", demo.store.current("super_resolution_model", "demo-upscaler").path("demo-upscaler.pt")]
    auxiliary = {f"DARTS_{name.upper()}": str(demo.world / "auxiliary" / f"{name}.tif") for name in ("dem", "trends")}
    environment = {**plain_environment(), **auxiliary, "DARTS_PRODUCTS": store.root, "DARTS_S3_ENDPOINT": s3}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for asset in PER_SCENE:
        store.current(asset, demo.planet).verify()
    # these two name the delivery, and the version of the mask
    assert_same_products(store, demo, demo.planet, but=("raw_scene", "slump_polygons"))
    assert "testing" not in done.stdout + done.stderr, "credentials are never printed"
