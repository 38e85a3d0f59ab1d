"""What a sequence tells of itself."""

import time

import pytest
from support import flows
from support.waiting import wait_until

from darts_core.dataflow import PoolStep, ProcessStep, Queue, Sequence, describe_flow, describe_progress


@pytest.mark.parametrize("step", [PoolStep, ProcessStep])
def test_the_stage_that_holds_the_others_up_is_seen(step):
    sequence = Sequence(PoolStep(flows.double), Queue(3), step(flows.sleeps, 2), Queue(4))
    assert sequence.flowstatus() == ()
    sequence.queue_iterable([0.01] * 30)
    assert len(list(sequence)) == 30
    source, fast, slow, consumer = sequence.flowstatus()
    assert [one.name for one in (source, fast, slow, consumer)] == ["source", "double", "sleeps", "consumer"]
    assert [(one.items_in, one.items_out, one.bad) for one in (source, fast, slow, consumer)] == [(30, 30, 0)] * 4
    assert [one.workers for one in (source, fast, slow)] == [1, 1, 2]
    assert [one.bound for one in (source, fast, slow, consumer)] == [1, 3, 4, 0]
    assert slow.busy >= 30 * 0.02
    assert slow.busy > fast.busy
    assert fast.mean_queued > slow.mean_queued
    assert consumer.waiting > consumer.busy
    assert all(one.queued == 0 for one in (source, fast, slow))


def test_it_can_be_asked_in_the_midst():
    with Sequence(PoolStep(flows.double), Queue(3)) as sequence:
        sequence.queue_iterable(range(50))
        next(running := iter(sequence))
        wait_until(lambda: sequence.flowstatus()[1].queued == 3)
        time.sleep(0.1)
        source, double, consumer = sequence.flowstatus()
        assert double.queued == double.bound == 3
        assert (double.items_out, consumer.items_in) == (5, 1)
        assert source.items_out > double.items_out
        running.close()


def test_a_flow_is_a_table():
    sequence = Sequence(PoolStep(flows.double), Queue(3))
    sequence.queue_iterable(range(1200))
    list(sequence)
    lines = describe_flow(sequence.flowstatus()).splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == ["source", "double", "consumer"]
    assert " 1,200 " in lines[3]
    assert lines[3].endswith("of 3 |")
    assert {line.count("|") for line in lines} == {9}


@pytest.mark.parametrize(
    ("done", "total", "seconds", "said"),
    [
        (1200, 8464, 1200 / 35.2, "1,200 of 8,464 (14 %), 35.2/s, 3 min 26 s left"),
        (0, 10, 3.0, "0 of 10 (0 %)"),
        (10, 10, 5.0, "10 of 10 (100 %), 2.0/s, 0 s left"),
        (1, 7201, 0.5, "1 of 7,201 (0 %), 2.0/s, 1 h 00 min left"),
        (2, 5, 25.0, "2 of 5 (40 %), 12.5 s each, 38 s left"),
        (5000, 10_000, 4.0, "5,000 of 10,000 (50 %), 1,250/s, 4 s left"),
        (0, 0, 0.0, "0 of 0"),
    ],
)
def test_progress_says_share_rate_and_remaining_time(done, total, seconds, said):
    assert describe_progress(done, total, seconds) == said
