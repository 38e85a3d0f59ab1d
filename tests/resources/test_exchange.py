"""What a run and a job elsewhere tell each other through the store."""

import time

import pytest

from darts_core.store import Store, StoreError
from resources import exchange
from resources.exchange import Exchange, Pulse


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "BEAT", 0.2)


def test_a_job_is_there_until_it_is_removed(store: Store) -> None:
    place = Exchange(store, "darts-1")
    place.put(b"{}")
    assert place.job() == b"{}"
    assert store.partitions("preprocessed") == []
    other = Exchange(store, "darts-2")
    assert list(other.jobs()) == [b"{}"]
    other.put(b"{1}")
    assert sorted(place.jobs()) == [b"{1}", b"{}"]
    other.remove()
    place.remove()
    place.remove()
    assert list(place.jobs()) == []
    with pytest.raises(FileNotFoundError):
        place.job()
    with pytest.raises(StoreError, match="job"):
        Exchange(store, "../elsewhere").path()


def test_a_run_is_there_while_it_gives_signs_and_gone_a_while_after(store: Store) -> None:
    place = Exchange(store, "darts-1")
    place.put(b"{}")
    stop = place.keep_alive()
    pulse = Pulse(place, patience=3)
    time.sleep(4)
    assert not pulse.lost
    stop()
    deadline = time.monotonic() + 10
    while not pulse.lost:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_store_out_of_reach_says_nothing_about_the_run(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Exchange(store, "darts-1")
    place.put(b"{}")

    def refuse(path: str) -> bytes:
        raise OSError(path)

    with monkeypatch.context() as patch:
        patch.setattr(store.fs, "cat_file", refuse)
        pulse = Pulse(place, patience=2)
        time.sleep(3)
        assert not pulse.lost
    # it comes back for the job before it does for the run
    time.sleep(0.3)
    stop = place.keep_alive()
    time.sleep(3)
    assert not pulse.lost
    stop()
