"""Packing, unpacking and repacking keep all members and their order."""

from hypothesis import given, settings
from hypothesis import strategies as st

from darts_core.dataflow import PackStep, PoolStep, Queue, RepackStep, Sequence, UnpackStep

few = settings(max_examples=12)


def passed(parts, items):
    sequence = Sequence(*parts)
    sequence.queue_iterable(items)
    return list(sequence), sequence.flowstatus()


def groups(items, n):
    return [items[start : start + n] for start in range(0, len(items), n)]


@few
@given(st.lists(st.integers() | st.none(), max_size=30), st.integers(1, 8), st.integers(1, 4))
def test_a_pack_holds_n_and_the_last_the_remainder_and_unpacking_gives_back(items, n, workers):
    packed, status = passed([PackStep(n), PoolStep(list, workers)], items)
    assert packed == groups(items, n)
    assert [(one.items_in, one.items_out) for one in status][1] == (len(items), len(packed))
    assert passed([PackStep(n), PoolStep(list, workers), UnpackStep()], items)[0] == items


@few
@given(st.lists(st.lists(st.integers(), max_size=6), max_size=12), st.integers(1, 8))
def test_a_repack_is_a_pack_of_the_members(lists, n):
    members = [member for one in lists for member in one]
    repacked, status = passed([RepackStep(n), Queue(2)], lists)
    assert repacked == groups(members, n)
    source, unpack, pack, consumer = ((one.items_in, one.items_out) for one in status)
    assert source == (len(lists), len(lists))
    assert unpack == (len(lists), len(members))
    assert pack == (len(members), len(repacked))
    assert consumer == (len(repacked), len(repacked))
