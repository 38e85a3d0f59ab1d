import json

import pytest

from darts_core.inference.job import JobError, StoreAddress
from darts_core.jobs import job_name, joined, read_job
from darts_core.superresolution.job import PatchTask, ProductVersion, SuperResolveJob
from darts_core.superresolution.parameters import SuperResolveParameters

JOB = SuperResolveJob(
    store=StoreAddress(root="/products"),
    tasks=(
        PatchTask(
            scene=ProductVersion(asset="preprocessed", partition="A", version="v1"),
            patches=ProductVersion(asset="sr_patches", partition="A", version="p1"),
        ),
    ),
    upscaler="bicubic",
    parameters=SuperResolveParameters(),
)


def test_a_job_is_what_was_written():
    assert read_job(JOB.model_dump_json(), "job.json") == JOB


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": 2}, r"^job\.json is a job of version 2; expected 1\. Run the same release of darts-assets on"),
        ({"version": None}, "version None; expected 1"),
        ({"kind": "train"}, "job.json is no job of version 1: kind: .*'super_resolve', 'segment'"),
        ({"priority": 3}, "super_resolve.priority: Extra inputs are not permitted"),
        (
            {"ranks": 0, "upscaler": ""},
            "super_resolve.ranks: .*; super_resolve.upscaler: |super_resolve.upscaler: .*ranks",
        ),
    ],
)
def test_what_is_no_job_of_this_version_is_refused_by_name(change, told):
    with pytest.raises(JobError, match=told):
        read_job(json.dumps({**JOB.model_dump(mode="json"), **change}), "job.json")


@pytest.mark.parametrize("text", ["", "{", "[1]", b"\xff"])
def test_what_is_no_json_is_refused(text):
    with pytest.raises(JobError, match=r"^job\.json is "):
        read_job(text, "job.json")


def test_jobs_of_one_model_and_the_same_parameters_are_one():
    def of(partition, **changes):
        (task,) = JOB.tasks
        scene, patches = (one.model_copy(update={"partition": partition}) for one in (task.scene, task.patches))
        return JOB.model_copy(update={"tasks": (PatchTask(scene=scene, patches=patches),), **changes})

    others = [of("B"), of("C", upscaler="nearest"), of("D", parameters=SuperResolveParameters(window=64)), of("E")]
    job = joined(JOB, others)
    assert [product.partition for product in job.products] == ["A", "B", "E"]
    assert job.model_copy(update={"tasks": JOB.tasks}) == JOB
    assert job_name(job) not in (job_name(JOB), job_name(joined(JOB, others[:1])))
