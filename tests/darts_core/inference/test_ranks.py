import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darts_core.inference.ranks import RanksError, placement, share
from darts_core.windows import Shard


@st.composite
def scenes(draw):
    """Shards of one to five windows each, and which of these hold a valid pixel."""
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=30))
    stops = np.cumsum(sizes).tolist()
    shards = [
        Shard(f"shard-{number}", stop - size, stop)
        for number, (size, stop) in enumerate(zip(sizes, stops, strict=True))
    ]
    occupied = draw(st.sets(st.integers(0, stops[-1] - 1)))
    return shards, sorted(occupied)


@given(scenes(), st.integers(1, 9))
def test_every_shard_has_one_owner_and_neighbours_go_together(scene, ranks):
    shards, occupied = scene
    shares = [share(shards, occupied, rank, ranks) for rank in range(ranks)]
    assert [shard for one in shares for shard in one] == shards


@given(scenes(), st.integers(1, 9))
def test_no_rank_has_more_than_its_part_of_the_windows_and_one_shard(scene, ranks):
    shards, occupied = scene

    def windows(some):
        return sum(number in shard.windows for shard in some for number in occupied)

    largest = max(windows([shard]) for shard in shards)
    for rank in range(ranks):
        assert windows(share(shards, occupied, rank, ranks)) <= len(occupied) / ranks + largest


@pytest.fixture
def started(monkeypatch):
    """Set the environment of one rank, and nothing else that could say who started it."""

    def start(**variables):
        for name in ("TORCHELASTIC_RUN_ID", "SLURM_NTASKS", "SLURM_JOB_NAME", "WORLD_SIZE", "LOCAL_RANK", "RANK"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, str(value))

    return start


TORCHRUN = {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": 8, "LOCAL_WORLD_SIZE": 4, "RANK": 5, "LOCAL_RANK": 1}
SLURM = {"SLURM_NTASKS": 8, "SLURM_NTASKS_PER_NODE": 4, "SLURM_NNODES": 2, "SLURM_PROCID": 6, "SLURM_LOCALID": 2}


@pytest.mark.parametrize(
    ("variables", "ranks", "expected"),
    [
        ({}, 8, (0, 8, 8)),
        ({"WORLD_SIZE": 2, "LOCAL_RANK": 1}, 2, (1, 2, 2)),
        (TORCHRUN, 8, (5, 8, 4)),
        (SLURM, 8, (6, 8, 4)),
        (SLURM | TORCHRUN, 8, (5, 8, 4)),
        (SLURM | {"SLURM_JOB_NAME": "bash"}, 1, (0, 1, 1)),
    ],
    ids=["first", "started by Lightning", "torchrun", "Slurm", "torchrun in Slurm", "in a shell of Slurm"],
)
def test_a_rank_knows_its_place_whoever_started_it(started, variables, ranks, expected):
    started(**variables)
    place = placement(ranks)
    assert (place.rank, place.ranks, place.here) == expected
    assert place.threads >= 1


def test_another_number_of_ranks_than_the_job_is_for_is_refused(started):
    started(**TORCHRUN)
    with pytest.raises(RanksError, match="for 4 ranks; 8 were started"):
        placement(4)
