import json
import os
import shutil
from pathlib import Path

import pytest
from lightning.fabric.plugins.environments import LightningEnvironment
from pydantic import ValidationError

from darts_core.contracts import encode
from darts_core.datasets import GROUP, open_product, write_zarr
from darts_core.inference.ranks import Placement
from darts_core.inference.shards import ShardSet
from darts_core.jobs import predict_job
from darts_core.store import PARTS, STAGING, DamagedProduct, MissingProduct, Store
from darts_core.superresolution import load_upscaler, super_resolve_patches
from darts_core.superresolution.job import (
    JobError,
    PatchTask,
    ProductVersion,
    StoreAddress,
    SuperResolveJob,
    require_whole,
)
from darts_core.superresolution.parameters import SuperResolveParameters

PARAMETERS = SuperResolveParameters(window=32)
ALONE = Placement(0, 1, 1, LightningEnvironment())


class Watched:
    """Keeps what it is told, and how many drafts were open then."""

    def __init__(self, store=None):
        self.staging, self.open = None if store is None else Path(store.root, STAGING), set()
        self.windows, self.scenes, self.steps, self.stages, self.done = None, [], [], [], False

    def begun(self, scene):
        self.scenes.append(scene)

    def planned(self, device, total):
        self.windows = total

    def progress(self, done, before):
        self.steps.append((done, before))
        if self.staging is not None:
            self.open.add(len(os.listdir(self.staging)))

    def observe(self, stages):
        self.stages += stages

    def finished(self):
        self.done = True


def task(partition):
    return PatchTask(
        scene=ProductVersion(asset="preprocessed", partition=partition, version="v1"),
        patches=ProductVersion(asset="sr_patches", partition=partition, version="p1"),
    )


def job_of(store, *partitions, **changes):
    values = {"upscaler": "bicubic", "parameters": PARAMETERS, "shard_bytes": 1, **changes}
    return SuperResolveJob(store=StoreAddress.of(store), tasks=[task(one) for one in partitions], **values)


def patches(store, partition):
    return store.draft("sr_patches", partition, "p1")


@pytest.fixture(scope="module")
def made(tmp_path_factory, make_scene):
    """A store with two scenes to be super-resolved and one that is fine enough."""
    store = Store(str(tmp_path_factory.mktemp("made") / "store"))
    for partition, scene in (
        ("A", make_scene(70, 60)),
        ("fine", make_scene(40, 40, resolution=3)),
        ("B", make_scene(50, 90)),
    ):
        with store.draft("preprocessed", partition, "v1") as draft:
            write_zarr(encode(scene, "preprocessed"), draft.folder / GROUP)
            draft.commit()
    return store


@pytest.fixture
def scenes(tmp_path, made):
    """A copy of that store, to be written into."""
    shutil.copytree(made.root, tmp_path / "store")
    return Store(str(tmp_path / "store"))


def test_a_job_survives_its_file_and_says_no_secret(scenes):
    job = job_of(Store(scenes.root, {"endpoint_url": "http://here"}), "A", "B", device="cuda", ranks=3)
    text = job.model_dump_json()
    assert SuperResolveJob.model_validate_json(text) == job
    assert json.loads(text)["version"] == 1
    assert job.store.open() == Store(scenes.root, {"endpoint_url": "http://here"})
    with pytest.raises(ValidationError, match="secret"):
        StoreAddress.of(Store(scenes.root, {"secret": "hush"}))


@pytest.mark.parametrize("change", [{"version": 2}, {"ranks": 0}, {"tasks": []}, {"upscaler": ""}, {"rank": 1}])
def test_what_is_no_job_of_this_version_is_refused(scenes, change):
    with pytest.raises(ValidationError, match=next(iter(change))):
        SuperResolveJob.model_validate({**job_of(scenes, "A").model_dump(), **change})


def test_one_rank_does_many_scenes_to_the_bytes_that_each_alone_has(scenes, tmp_path):
    watch, job = Watched(scenes), job_of(scenes, "A", "fine", "B")
    predict_job(job, ALONE, watch)
    assert watch.done
    assert watch.scenes == ["A", "fine", "B"]
    assert watch.open == {1}, "one scene at a time"
    assert (watch.steps[0], watch.steps[-1]) == ((0, 0), (watch.windows, 0))
    assert {stage.name for stage in watch.stages} >= {"source", "consumer"}
    alone = Store(str(tmp_path / "alone"))
    for partition in ("A", "fine", "B"):
        scene = open_product(scenes.current("preprocessed", partition), "preprocessed")
        with patches(scenes, partition) as draft, patches(alone, partition) as other:
            require_whole(draft)
            bicubic = load_upscaler("bicubic")
            super_resolve_patches(scene, bicubic, PARAMETERS, other.folder, other.publish, shard_bytes=1)
            assert draft.commit().manifest.objects == other.commit().manifest.objects
    watch = Watched()
    predict_job(job, ALONE, watch)
    assert (watch.scenes, watch.windows) == ([], 0), "a job that starts again leaves alone what is committed"


def test_only_what_is_missing_is_predicted(scenes):
    predict_job(job_of(scenes, "A", "B"), ALONE, Watched())
    folder = Path(scenes.path("sr_patches", "B", "p1"))
    (folder / PARTS / "shard-00001.json").unlink()
    lost = ShardSet.open(folder).shards[1]
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("c/*") if lost.name not in file.parts}
    with (
        patches(scenes, "B") as draft,
        pytest.raises(JobError, match="sr_patches of B: the ranks ended without shard-00001"),
    ):
        require_whole(draft)
    watch = Watched()
    predict_job(job_of(scenes, "A", "B"), ALONE, watch)
    assert watch.steps[-1] == (watch.windows, watch.windows - len(lost.windows))
    assert {file: file.stat().st_mtime_ns for file in before} == before
    with patches(scenes, "B") as draft:
        require_whole(draft)


def test_a_scene_that_is_damaged_or_was_never_made_is_named(scenes):
    (Path(scenes.current("preprocessed", "B").path(GROUP)) / "red" / "c" / "0" / "0").unlink()
    with pytest.raises(DamagedProduct, match="of B, version v1"):
        predict_job(job_of(scenes, "A", "B"), ALONE, Watched())
    with pytest.raises(MissingProduct, match="preprocessed of C has no version v1"):
        predict_job(job_of(scenes, "A", "C"), ALONE, Watched())
