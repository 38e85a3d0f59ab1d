"""Every item comes once and in order, from sources that are drawn no further ahead than there is room."""

import asyncio
import itertools
import time

import numpy as np
import pytest
from spdl.pipeline import StageInfo
from support import flows
from support.waiting import wait_until

from darts_core.dataflow import DataflowError, PackStep, PoolStep, ProcessStep, Queue, RepackStep, Sequence, UnpackStep
from darts_core.dataflow.run import Link, Run
from darts_core.dataflow.stages import Message

EPOCHS = 30
PARTS = {
    "threads": [PoolStep(flows.jitter, 3), Queue(2), PoolStep(flows.jitter), PoolStep(flows.jitter, 2), Queue(3)],
    "processes": [ProcessStep(flows.jitter, 2), Queue(2)],
    "all": [ProcessStep(flows.jitter), PackStep(3), PoolStep(flows.jitter, 4), Queue(2), RepackStep(4), UnpackStep()],
}


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
def test_no_item_is_lost_doubled_or_out_of_order_in_any_epoch(parts):
    with flows.nothing_left(), Sequence(*parts) as sequence:
        for epoch in range(EPOCHS):
            sequence.queue_iterable(range(epoch, epoch + 20))
            assert list(sequence) == list(range(epoch, epoch + 20))


@pytest.mark.parametrize("step", [PoolStep, ProcessStep])
def test_none_is_an_item_like_any_other(step):
    sequence = Sequence(step(flows.nothing, 2), PackStep(2), UnpackStep())
    sequence.queue_iterable([None] * 5)
    assert list(sequence) == [None] * 5


def test_processes_serve_all_epochs_inside_with_and_one_without():
    sequence, seen = Sequence(ProcessStep(flows.own_process, 2)), []
    with sequence:
        for _ in range(2):
            sequence.queue_iterable(range(8))
            seen.append(set(sequence))
    sequence.queue_iterable(range(8))
    seen.append(set(sequence))
    assert seen[0] == seen[1]
    assert len(seen[0]) == 2
    assert not seen[0] & seen[2]


def test_iterables_queued_before_an_epoch_follow_each_other_and_an_empty_one_is_no_error():
    sequence = Sequence(PoolStep(flows.double))
    for items in ([1, 2], [], [3]):
        sequence.queue_iterable(items)
    assert list(sequence) == [2, 4, 6]
    sequence.queue_iterable([])
    assert list(sequence) == []


def test_what_cannot_be_iterated_says_what_to_do():
    sequence = Sequence(PoolStep(flows.double))
    with pytest.raises(DataflowError, match="queue_iterable"):
        next(iter(sequence))
    sequence.queue_iterable(itertools.count())
    running = iter(sequence)
    assert next(running) == 0
    with pytest.raises(DataflowError, match="iterated already"):
        next(iter(sequence))
    running.close()


def test_two_sequences_at_once_and_one_that_feeds_another():
    one, two = Sequence(PoolStep(flows.jitter, 2)), Sequence(ProcessStep(flows.jitter, 2))
    one.queue_iterable(range(30))
    two.queue_iterable(range(100, 130))
    assert list(zip(one, two, strict=True)) == list(zip(range(30), range(100, 130), strict=True))
    one.queue_iterable(range(30))
    two.queue_iterable(one)
    assert list(two) == list(range(30))


@pytest.mark.parametrize(
    ("parts", "bound"),
    [
        ([PoolStep(flows.double, 2), Queue(1)], 3),
        ([PoolStep(flows.jitter, 3), Queue(4), PoolStep(flows.double), Queue(2)], 10),
        ([ProcessStep(flows.double, 2), Queue(2)], 4),
    ],
)
def test_an_infinite_source_is_drawn_as_far_as_queues_and_workers_go_and_two_more(parts, bound):
    drawn = itertools.count()
    with Sequence(*parts) as sequence:
        sequence.queue_iterable(drawn)
        for taken, _ in zip(range(1, 11), sequence, strict=False):
            time.sleep(0.05)
            ahead = int(repr(drawn)[6:-1]) - taken
            assert ahead <= bound + 2
        wait_until(lambda: int(repr(drawn)[6:-1]) - taken >= bound + 2)
        time.sleep(0.1)
        assert int(repr(drawn)[6:-1]) - taken == bound + 2


def test_an_item_that_vanished_is_an_error():
    run = Run([(PoolStep(flows.double), 1)], iter(range(5)), False, {})
    items = iter(run)
    next(items)
    run._source.meter.count(taken=1, given=1)
    with pytest.raises(DataflowError, match=r"source gave 6, double took 5"):
        list(items)
    run.stop()


def test_an_item_that_comes_twice_or_late_is_an_error():
    async def put(*numbers: int) -> None:
        link = Link(StageInfo(0, "1", "double"), 9, None, None, False)
        for number in numbers:
            await link.put(Message(number, (number,), None))

    asyncio.run(put(0, 1, 5))
    for numbers in ((0, 1, 1), (0, 2, 1)):
        with pytest.raises(DataflowError, match="gave number 1 after"):
            asyncio.run(put(*numbers))


def test_arrays_arrive_as_they_were_between_processes():
    sequence = Sequence(ProcessStep(flows.arrays), ProcessStep(flows.total))
    sequence.queue_iterable(range(3))
    expected = [flows.total(flows.arrays(value)) for value in range(3)]
    assert list(sequence) == expected
    sequence = Sequence(ProcessStep(flows.arrays))
    sequence.queue_iterable([5])
    (got,) = sequence
    for name, array in flows.arrays(5).items():
        np.testing.assert_array_equal(got[name], array)
        assert got[name].flags.writeable
