"""One job for what is due now and what is due later: what is taken from it, and what follows one that failed."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import pytest

from darts_core.inference.job import JobError, JobKilled, ProductVersion, StoreAddress
from darts_core.segmentation.job import SegmentJob, SegmentModel, SegmentTask, raster_name
from darts_core.segmentation.parameters import SegmentParameters
from darts_core.store import Store, StoreUnavailable
from resources.launchers import launch as launching
from resources.launchers import underway
from resources.launchers.backend import Request, State
from resources.launchers.launch import Launches
from resources.reports import RankFailure

MODEL = SegmentModel(name="m", path="/m.pt", digest="0")
Step = str | dict[str, Any] | Exception
"""A partition whose product is published, what is raised meanwhile, or how the job ends."""
WELL: Step = {"status": 0}


def died_at(scene: str, rank: int = 0) -> Step:
    """The end of a job of which a rank failed."""
    failure = RankFailure(rank=rank, scene=scene, error=f"rank {rank} fell over", traceback=f"in {scene}")
    return {"status": 1, "why": "", "failures": [failure.model_dump()]}


LOST: Step = {}
"""The end of a job of which nobody knows why."""


@dataclass
class Played:
    """A job that does one step each time that it is looked at."""

    store: Store
    steps: list[Step]
    lines: str = ""
    ended: int = 0

    def __str__(self) -> str:
        return "the job of the test"

    def state(self) -> State:
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        if isinstance(step, str):
            publish(self.store, step)
            return State(running=True)
        said = {"__dagster_pipes_version": "0.1", "method": "report_custom_message", "params": {"payload": step}}
        self.lines = json.dumps(said) + "\n" if step else ""
        return State(running=False)

    def output(self) -> str:
        return self.lines

    def end(self) -> None:
        self.ended += 1

    def remove(self) -> None:
        pass


@dataclass
class Stage:
    """A backend whose jobs go as they are written down."""

    store: Store
    plays: list[list[Step]]
    going: dict[str, Played] = field(default_factory=dict)
    """Of an earlier run, by the letters of its scenes."""
    started: list[str] = field(default_factory=list)
    """The letters of the scenes of each job."""
    jobs: list[Played] = field(default_factory=list)

    def check(self, request: Request) -> None:
        pass

    def laid(self, request: Request) -> Iterator[Request]:
        return (Request(job_of(self.store, *letters)) for letters in self.going)

    def find(self, request: Request) -> Played | None:
        return self.going.get(letters(request))

    def submit(self, request: Request, variables: dict[str, str]) -> Played:
        self.started.append(letters(request))
        self.jobs.append(Played(self.store, self.plays.pop(0)))
        return self.jobs[-1]


def letters(request: Request) -> str:
    return "".join(product.partition for product in request.job.products)


def product(scene: str) -> ProductVersion:
    return ProductVersion(asset="segmentation_probabilities", partition=scene, version="p1")


def publish(store: Store, scene: str) -> None:
    with store.draft(**product(scene).model_dump()) as draft:
        (draft.folder / raster_name("m")).write_bytes(b"made")
        draft.publish(raster_name("m"))


def job_of(store: Store, *scenes: str) -> SegmentJob:
    def task(scene: str) -> SegmentTask:
        inputs = (
            ProductVersion(asset=asset, partition=scene, version="v1") for asset in ("preprocessed", "sr_geotiff")
        )
        preprocessed, super_resolved = inputs
        return SegmentTask(
            preprocessed=preprocessed, super_resolved=super_resolved, probabilities=product(scene), models=("m",)
        )

    return SegmentJob(
        store=StoreAddress.of(store),
        tasks=[task(one) for one in scenes],
        models=[MODEL],
        parameters=SegmentParameters(),
    )


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(underway, "LOOK", 0.0)
    monkeypatch.setattr(underway, "ASK", 0.0)


@pytest.fixture
def stage(tmp_path: Any) -> Callable[..., Stage]:
    store = Store(str(tmp_path / "store"))
    return lambda *plays: Stage(store, [list(play) for play in plays])


def run(stage: Stage, scenes: str = "ABC", then: Callable[[str], None] = lambda scene: None) -> dict[str, str]:
    """Scene by scene, as a run of many does it: how each went; `then` is called after each that was made."""
    went: dict[str, str] = {}

    @dg.asset
    def probabilities(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        with Launches() as launches:
            for number, scene in enumerate(scenes):
                after = [job_of(stage.store, one) for one in scenes[number + 1 :]]
                try:
                    launches.make(context, job_of(stage.store, scene), lambda: stage, lambda after=after: after)
                except JobError as error:
                    went[scene] = str(error).splitlines()[0]
                else:
                    went[scene] = "made"
                    then(scene)
        return dg.MaterializeResult()

    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize([probabilities], instance=instance)
    return went


MADE = dict.fromkeys("ABC", "made")


def test_what_is_made_is_taken_while_the_job_goes_on(stage: Callable[..., Stage]) -> None:
    played = stage(["A", "B", "C", WELL])
    left: dict[str, int] = {}
    assert run(played, then=lambda scene: left.setdefault(scene, len(played.jobs[0].steps))) == MADE
    assert played.started == ["ABC"]
    assert left["A"] > left["B"] > left["C"] == 0, "of the last the job's own end is awaited"


def test_a_scene_that_a_job_fails_at_is_the_only_one_that_fails(stage: Callable[..., Stage]) -> None:
    played = stage(["A", died_at("B")], ["C", WELL])
    assert run(played) == {**MADE, "B": "Rank 0 failed: rank 0 fell over"}
    assert played.started == ["ABC", "C"]


def test_a_job_that_fails_at_a_later_scene_is_followed_by_one_without_it(stage: Callable[..., Stage]) -> None:
    played = stage([died_at("B", rank=1)], ["A", "C", WELL])
    assert run(played) == {**MADE, "B": "Rank 1 failed: rank 1 fell over"}
    assert played.started == ["ABC", "AC"]


def test_a_job_that_was_lost_on_the_way_is_followed_by_another(stage: Callable[..., Stage]) -> None:
    played = stage(["A", LOST], ["B", "C", WELL])
    assert run(played) == MADE
    assert played.started == ["ABC", "BC"]


def test_one_that_makes_nothing_is_the_error_of_the_scene_that_it_began_with(stage: Callable[..., Stage]) -> None:
    played = stage([LOST], ["B", "C", WELL])
    went = run(played)
    assert went.pop("A").startswith("The job ended without a word")
    assert went == {"B": "made", "C": "made"}
    assert played.started == ["ABC", "BC"]


def test_a_job_that_was_killed_is_told_from_one_that_says_why_it_failed() -> None:
    killed = RankFailure(rank=1, scene="A", error="its process 7 is gone without a word")
    lost, failed = underway._ended({}, [], ""), underway._ended(died_at("A"), [], "")
    gone = underway._ended({"status": 1, "why": "", "failures": [killed.model_dump()]}, [], "")
    silent, cancelled = ({"status": 1, "why": why, "failures": []} for why in ("", "the run was ended"))
    assert [type(ended.error) for ended in (lost, failed, gone)] == [JobKilled, JobError, JobKilled]
    assert [type(underway._ended(told, [], "").error) for told in (silent, cancelled)] == [JobKilled, JobError]
    assert (type(failed.failed["A"]), type(gone.failed["A"])) == (JobError, JobKilled)


def test_a_lost_run_s_job_is_watched_also_where_it_does_more_than_is_left(stage: Callable[..., Stage]) -> None:
    played = stage(["C", WELL])
    played.going = {"AB": Played(played.store, ["B", LOST])}
    publish(played.store, "A")
    assert run(played) == MADE
    assert played.started == ["C"]


def test_where_that_job_fails_another_is_started(stage: Callable[..., Stage]) -> None:
    played = stage(["A", "B", "C", WELL])
    played.going = {"ABC": Played(played.store, [died_at("A")])}
    assert run(played) == MADE
    assert played.started == ["ABC"]


def test_a_store_that_does_not_answer_for_a_while_costs_no_job(
    stage: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    played, asked = stage(["A", "B", WELL]), iter([False])

    def is_made(job: SegmentJob) -> bool:
        if (answer := next(asked, None)) is not None:
            return answer
        monkeypatch.setattr(launching, "is_made", underlying)
        raise StoreUnavailable("not now")

    underlying = launching.is_made
    monkeypatch.setattr(launching, "is_made", is_made)

    @dg.asset
    def probabilities(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        jobs = [job_of(played.store, scene) for scene in "AB"]
        with Launches() as launches:
            with pytest.raises(StoreUnavailable):
                launches.make(context, jobs[0], lambda: played, lambda: jobs[1:])
            for job in jobs:
                launches.make(context, job, lambda: played)
        return dg.MaterializeResult()

    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize([probabilities], instance=instance)
    assert played.started == ["AB"]
    assert played.jobs[0].ended == 0


def test_a_scene_that_is_given_up_ends_the_job_and_the_next_has_another(stage: Callable[..., Stage]) -> None:
    played = stage(["A", JobError("it took too long")], ["C", WELL])
    assert run(played) == {**MADE, "B": "it took too long"}
    assert played.started == ["ABC", "C"]
    assert [job.ended for job in played.jobs] == [1, 0]


def test_a_run_that_is_ended_ends_the_job(stage: Callable[..., Stage]) -> None:
    played = stage(["A", "B", "C", WELL])

    def interrupt(scene: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(played, then=interrupt)
    assert played.jobs[0].ended == 1
