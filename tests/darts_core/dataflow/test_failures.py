"""What breaks is raised where the items are taken, with stage, item and traceback; or set aside and listed."""

import itertools
import threading
import time
from functools import partial

import pytest
from support import flows

from darts_core.dataflow import BadItem, DataflowError, PackStep, PoolStep, ProcessStep, Queue, Sequence, UnpackStep

COUNT = 20
SECONDS = 10
"""The longest that an error may take to surface, here without the start of processes, on a busy machine."""
PLACES = [0, COUNT // 2, COUNT - 1]


def run(*parts, items=range(COUNT), **options):
    """What came before the error, and the error."""
    sequence, got = Sequence(*parts, **options), []
    sequence.queue_iterable(items)
    with flows.nothing_left(), pytest.raises(DataflowError) as caught:
        for item in sequence:
            last = time.monotonic()
            got.append(item)
    if got:
        assert time.monotonic() - last < SECONDS
    return got, caught.value


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("step", [PoolStep, ProcessStep])
def test_an_exception_names_stage_and_item_and_carries_the_traceback(step, place):
    got, error = run(PoolStep(flows.jitter), step(partial(flows.fails, {place}), 2), Queue(2))
    assert got == list(range(place))
    assert isinstance(error.__cause__, ValueError)
    assert (error.bad.stage, error.bad.items) == ("fails", (place,))
    assert f"fails failed at item {place}: ValueError: broken {place}" in str(error)
    assert 'raise ValueError(f"broken {value}")' in str(error)


@pytest.mark.parametrize("place", PLACES)
def test_a_killed_worker_names_its_item(place):
    got, error = run(ProcessStep(partial(flows.killed, place), 2), Queue(2))
    assert got == list(range(place))
    assert (error.bad.stage, error.bad.items) == ("killed", (place,))
    assert "was killed by SIGKILL" in str(error)


@pytest.mark.parametrize("place", PLACES)
def test_an_exception_in_the_source_names_the_item_that_did_not_come(place):
    def source():
        yield from range(place)
        raise OSError("the disk is gone")

    got, error = run(PoolStep(flows.jitter, 2), items=source(), quarantine=True)
    assert got == list(range(place))
    assert (error.bad.stage, error.bad.items) == ("source", (place,))
    assert isinstance(error.__cause__, OSError)
    assert "the disk is gone" in str(error)


def test_what_is_no_iterable_is_an_error_of_the_source():
    assert "not iterable" in str(run(PoolStep(flows.jitter), items=None)[1])


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (flows.exits, "ended with exit code 3"),
        (flows.leaves, "SystemExit: leaving"),
        (flows.fails_oddly, "NotToBeRebuilt: odd"),
        (flows.unpicklable, "cannot pickle"),
        (flows.forks_and_is_killed, "was killed by SIGKILL"),
    ],
)
def test_a_worker_process_that_ends_oddly_says_how(function, said):
    got, error = run(ProcessStep(function), items=[0])
    assert got == []
    assert error.bad.items == (0,)
    assert said in str(error)


def test_an_error_overtakes_items_that_let_the_consumer_wait():
    release = threading.Event()

    def stuck(value):
        if value == 1:
            raise ValueError("later item")
        return release.wait(30)

    sequence = Sequence(PoolStep(stuck, 2))
    sequence.queue_iterable(range(5))
    threading.Timer(3, release.set).start()
    got = []
    with pytest.raises(DataflowError, match="item 1: ValueError: later item"):
        got.extend(sequence)
    assert got == [], "the item before the error was waited for"


def test_items_and_functions_that_cannot_be_sent_are_told():
    assert "cannot pickle" in str(run(ProcessStep(flows.double), items=[threading.Lock()])[1])
    sequence = Sequence(ProcessStep(lambda value: value))
    sequence.queue_iterable([1])
    with flows.nothing_left(), pytest.raises(DataflowError, match="can be pickled"):
        list(sequence)


@pytest.mark.parametrize("step", [PoolStep, ProcessStep])
def test_quarantine_lists_bad_items_and_the_rest_goes_on_in_order(step):
    bad = (0, 7, COUNT - 1)
    with Sequence(step(partial(flows.fails, bad), 2), PackStep(4), UnpackStep(), quarantine=True) as sequence:
        for _ in range(2):
            sequence.queue_iterable(range(COUNT))
            assert list(sequence) == [value for value in range(COUNT) if value not in bad]
            assert [(one.stage, one.items) for one in sequence.quarantined] == [("fails", (place,)) for place in bad]
            assert all("ValueError: broken" in one.traceback for one in sequence.quarantined)
            assert [stage.bad for stage in sequence.flowstatus()] == [0, len(bad), 0, 0, 0]


def test_quarantine_outlives_killed_workers():
    sequence = Sequence(
        ProcessStep(partial(flows.killed, 3)), ProcessStep(partial(flows.killed, 5), 2), quarantine=True
    )
    sequence.queue_iterable(range(9))
    with flows.nothing_left():
        assert list(sequence) == [0, 1, 2, 4, 6, 7, 8]
    assert [bad.items for bad in sequence.quarantined] == [(3,), (5,)]


def test_quarantine_of_a_group_lists_all_that_it_holds():
    def fails(values):
        if 4 in values:
            raise ValueError("four")
        return values

    sequence = Sequence(PackStep(3), PoolStep(fails), UnpackStep(), quarantine=True)
    sequence.queue_iterable(range(8))
    assert list(sequence) == [0, 1, 2, 6, 7]
    (bad,) = sequence.quarantined
    assert isinstance(bad, BadItem)
    assert bad.items == (3, 4, 5)
    assert "items 3 to 5: ValueError: four" in str(bad)


def test_what_is_no_list_cannot_be_unpacked_and_a_member_is_named_after_its_own_place():
    got, error = run(UnpackStep(), items=[[1], [2, 3], 4])
    assert got == [1, 2, 3]
    assert (error.bad.stage, error.bad.items) == ("unpack", (2,))
    got, error = run(PackStep(4), UnpackStep(), PoolStep(partial(flows.fails, {6})))
    assert got == list(range(6))
    assert error.bad.items == (6,)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([], "received none"),
        ([Queue(1)], "behind a step"),
        ([PoolStep(flows.double), Queue(1), Queue(1)], "two in a row"),
        ([flows.double], "steps and queues"),
    ],
)
def test_parts_that_make_no_sequence_are_refused(parts, said):
    with pytest.raises(DataflowError, match=said):
        Sequence(*parts)


@pytest.mark.parametrize("make", [partial(PoolStep, flows.double), partial(ProcessStep, flows.double), PackStep, Queue])
def test_counts_below_one_are_refused(make):
    with pytest.raises(DataflowError, match="1 or more"):
        make(0)
    with pytest.raises(DataflowError, match="takes a function"):
        PoolStep(3)


def test_an_error_in_the_consumer_passes_through_and_stops_all():
    sequence = Sequence(PoolStep(flows.jitter, 2), ProcessStep(flows.jitter))
    with flows.nothing_left():
        sequence.queue_iterable(itertools.count())
        with pytest.raises(KeyError, match="mine"):
            for _ in sequence:
                raise KeyError("mine")
