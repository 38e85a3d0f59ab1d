"""Segmentation by ranks: the same rasters, each made once."""

from pathlib import Path

import pytest
from lightning.fabric.plugins.environments import LightningEnvironment
from support.datasets import preprocessed_dataset
from support.models import write_checkpoint

from darts_core.contracts import encode
from darts_core.datasets import GROUP, open_product, write_zarr
from darts_core.inference.geotiff import blocks_of, write_cog
from darts_core.inference.job import JobError, ProductVersion
from darts_core.inference.ranks import Placement
from darts_core.jobs import is_made, job_name, joined, predict_job, read_job
from darts_core.segmentation import Segmenter
from darts_core.segmentation.finding import checkpoint_digest
from darts_core.segmentation.job import SegmentModel, require_rasters, segment_job
from darts_core.segmentation.parameters import SegmentParameters
from darts_core.store import Store

ALONE = Placement(0, 1, 1, LightningEnvironment())
SCENE = ProductVersion(asset="preprocessed", partition="T1", version="v1")
FINE = ProductVersion(asset="sr_geotiff", partition="T1", version="f1")
PARAMETERS = SegmentParameters(patch_size=64)
NAMES = ("a", "b", "c")


class Watched:
    total, done = 0, 0

    def begun(self, scene):
        pass

    def planned(self, device, total):
        self.total = total

    def progress(self, done, before):
        self.done = done

    def observe(self, stages):
        raise AssertionError

    def finished(self):
        pass


def probabilities(store):
    return store.draft("segmentation_probabilities", "T1", "p1")


@pytest.fixture
def store(tmp_path):
    """A store with one scene, and its super-resolved raster, which is as fine as it is."""
    made = Store(str(tmp_path / "store"))
    scene = preprocessed_dataset(1, (530, 90))
    with made.draft(**SCENE.model_dump()) as draft:
        write_zarr(encode(scene, "preprocessed"), draft.folder / GROUP)
        draft.commit()
    with made.draft(**FINE.model_dump()) as draft:
        bands = scene[["blue", "green", "red", "nir"]]
        write_cog(blocks_of(bands, "super_resolved"), draft.folder / "raster.tif")
        draft.commit()
    return made


@pytest.fixture
def models(tmp_path):
    """Three checkpoints; the last sees super-resolved pixels."""
    found = []
    for number, name in enumerate(NAMES):
        kind = "super_resolved" if name == "c" else "native"
        path = write_checkpoint(tmp_path / f"{name}.pt", bias=float(number), input=kind)
        found.append(SegmentModel(name=name, path=str(path), digest=checkpoint_digest(path)))
    return found


def job_of(store, models, **how):
    with probabilities(store) as draft:
        return segment_job(draft, SCENE, FINE, models, PARAMETERS, **{"device": "cpu", "ranks": 1, **how})


@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
def test_every_raster_has_one_rank_and_neighbours_go_by_model(store, models, ranks):
    job = job_of(store, models)
    job = joined(job, [job_of(store, models, lacking=["a", "c"])])
    shares = [job.rasters(rank, ranks) for rank in range(ranks)]
    together = [(model.name, job.tasks.index(task)) for share in shares for model, task in share]
    assert sorted(together) == [("a", 0), ("a", 1), ("b", 0), ("c", 0), ("c", 1)]
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    for share in shares:
        of_scenes = [job.tasks.index(task) for _, task in share]
        assert of_scenes == sorted(of_scenes), "a scene that comes first is finished first"
    loads = sum(len({model.name for model, _ in share}) for share in shares)
    assert loads <= len(NAMES) + ranks - 1


@pytest.mark.parametrize(("names", "ranks"), [("a", 2), ("a", 3), ("ab", 2), ("abc", 2), ("ab", 5)])
def test_scenes_that_come_first_are_finished_first_by_all_ranks_together(store, models, names, ranks):
    one = job_of(store, [model for model in models if model.name in names])
    others = [one.products[0].model_copy(update={"partition": f"scene-{number}"}) for number in range(15)]
    more = tuple(one.tasks[0].model_copy(update={"probabilities": other}) for other in others)
    job = one.model_copy(update={"tasks": one.tasks + more})
    shares = [job.rasters(rank, ranks) for rank in range(ranks)]
    together = [(model.name, job.tasks.index(task)) for share in shares for model, task in share]
    assert sorted(together) == [(name, number) for name in names for number in range(16)]
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    # were all ranks equally fast: when a scene is whole, in parts of the whole job
    whole = [
        max((place + 1) / len(share) for share in shares for place, (_, task) in enumerate(share) if task is wanted)
        for wanted in job.tasks
    ]
    ideal = [(number + 1) / 16 for number in range(16)]
    assert max(late - wanted for late, wanted in zip(whole, ideal, strict=True)) < 0.25


def test_a_rank_makes_the_bytes_of_the_step_alone_and_nothing_twice(store, models):
    job = job_of(store, models)
    assert not is_made(job)
    with probabilities(store) as draft, pytest.raises(JobError, match="ended without the rasters of a, b, c"):
        require_rasters(draft, NAMES)
    watch = Watched()
    # the work of a second rank, which comes first
    predict_job(job.model_copy(update={"models": tuple(models[2:])}), ALONE, watch)
    assert watch.done == watch.total == 2, "tiles of 512 pixels"
    made = Path(store.path("segmentation_probabilities", "T1", "p1", "c.tif"))
    before = made.stat().st_mtime_ns
    predict_job(job, ALONE, watch)
    assert watch.done == watch.total == 4, "what is published counts no more"
    assert made.stat().st_mtime_ns == before
    assert is_made(job)

    scene = open_product(store.current("preprocessed", "T1"), "preprocessed")
    fine = scene[["blue", "green", "red", "nir"]]
    with probabilities(store) as draft:
        require_rasters(draft, NAMES)
        for model in models:
            segmenter = Segmenter.load(model.path, name=model.name)
            alone = write_cog(segmenter.stream(scene, fine, PARAMETERS), draft.folder / "alone.tif")
            made = Path(store.path("segmentation_probabilities", "T1", "p1", f"{model.name}.tif"))
            assert made.read_bytes() == alone.read_bytes(), model.name
            alone.unlink()
        draft.commit()
    watch = Watched()
    predict_job(job, ALONE, watch)
    assert watch.total == 0, "a job that starts again leaves alone what is committed"


def test_a_model_that_lies_elsewhere_is_found_in_the_store_by_its_digest(store, models, tmp_path):
    with store.draft("segmentation_model", "a", "m1") as draft:
        (tmp_path / "a.pt").rename(draft.folder / "weights.pt")
        draft.commit()
    predict_job(job_of(store, models[:1]), ALONE, Watched())
    with pytest.raises(JobError, match=r"gone\.pt is not on this machine, and no segmentation_model in .* has its dig"):
        predict_job(job_of(store, [models[1].model_copy(update={"path": "/gone.pt"})]), ALONE, Watched())
    with pytest.raises(JobError, match=r"b\.pt has the digest .* for the model b with 0000"):
        predict_job(job_of(store, [models[1].model_copy(update={"digest": "0" * 64})]), ALONE, Watched())


def test_a_job_survives_its_file_and_its_name_is_what_it_makes(store, models):
    job = job_of(store, models)
    assert read_job(job.model_dump_json(), "job.json") == job
    assert job_name(job) == job_name(job_of(store, models, ranks=7))
    assert job_name(job) != job_name(job_of(store, models[:2]))
    assert job_name(job).startswith("darts-segment-")
