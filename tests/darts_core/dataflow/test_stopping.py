"""However a sequence is left, it is over within a second and nothing stays behind."""

import gc
import itertools
import subprocess
import sys
import time
import weakref
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from support import flows

from darts_core.dataflow import DataflowError, PackStep, PoolStep, ProcessStep, Queue, Sequence

ALLOWED = 10.0
"""Seconds, where a stop may take one: the machine may be busy. The benchmark prints what it takes."""
STEPS = {
    "threads": [PoolStep(flows.jitter, 3), Queue(2)],
    "processes": [ProcessStep(flows.jitter, 2), Queue(2)],
    "all": [PoolStep(flows.jitter, 2), PackStep(3), ProcessStep(flows.jitter), Queue(1)],
}


@contextmanager
def stopped_in_time():
    started = time.monotonic()
    yield
    assert time.monotonic() - started < ALLOWED


@pytest.fixture(params=STEPS.values(), ids=STEPS)
def sequence(request):
    made = Sequence(*request.param)
    made.queue_iterable(itertools.count())
    return made


def test_by_break(sequence):
    with flows.nothing_left():
        for _ in sequence:
            started = time.monotonic()
            break
        assert time.monotonic() - started < ALLOWED


def test_by_closing_the_iterator(sequence):
    with flows.nothing_left():
        running = iter(sequence)
        next(running)
        with stopped_in_time():
            running.close()


def test_by_leaving_the_context_and_what_comes_then_is_an_error(sequence):
    with flows.nothing_left():
        with sequence:
            running = iter(sequence)
            next(running)
            started = time.monotonic()
        assert time.monotonic() - started < ALLOWED
        with pytest.raises(DataflowError, match="stopped"):
            list(running)


def test_by_garbage_collection(sequence):
    with flows.nothing_left():
        running = iter(sequence)
        next(running)
        with stopped_in_time():
            del running


def test_by_garbage_collection_in_one_of_its_own_threads():
    def collects(value):
        gc.collect()
        return value

    class Holder:
        pass

    gc.disable()
    try:
        with flows.nothing_left():
            holder = Holder()
            holder.itself = holder
            sequence = Sequence(PoolStep(collects), Queue(2))
            sequence.queue_iterable(flows.sleeps(0.01) for _ in itertools.count())
            holder.running = iter(sequence)
            next(holder.running)
            del holder
            time.sleep(0.2)
    finally:
        gc.enable()


def test_a_process_in_the_midst_of_a_long_item_is_killed():
    sequence = Sequence(ProcessStep(flows.sleeps, 2), Queue(1))
    sequence.queue_iterable([0, 60, 60, 60])
    with flows.nothing_left():
        running = iter(sequence)
        next(running)
        time.sleep(0.5)
        with stopped_in_time():
            running.close()


def test_what_was_on_its_way_is_let_go():
    class Large:
        pass

    made = []

    def make(value):
        large = Large()
        made.append(weakref.ref(large))
        return large

    sequence = Sequence(PoolStep(make, 2), Queue(3))
    sequence.queue_iterable(itertools.count())
    for _ in sequence:
        time.sleep(0.1)
        break
    del _
    gc.collect()
    assert len(made) >= 4
    assert [one for one in made if one() is not None] == []
    assert sequence.flowstatus()[1].queued == 3


def test_a_sequence_that_feeds_another_stops_with_it():
    inner, outer = Sequence(PoolStep(flows.jitter, 2)), Sequence(PoolStep(flows.jitter, 2))
    inner.queue_iterable(itertools.count())
    outer.queue_iterable(inner)
    with flows.nothing_left():
        for _ in outer:
            break


def test_an_epoch_after_an_early_stop_starts_anew(sequence):
    for _ in range(2):
        assert next(iter(sequence)) in (0, [0, 1, 2])
        sequence.queue_iterable(itertools.count())


SCRIPT = """
import itertools, multiprocessing, os, sys, time
from darts_core.dataflow import PoolStep, ProcessStep, Queue, Sequence

class Pair:
    def __init__(self, value): self.value = value

def square(pair): return Pair(pair.value ** 2)

def work():
    sequence = Sequence(ProcessStep(square, 2), Queue(2), PoolStep(square))
    sequence.queue_iterable(Pair(value) for value in range(5))
    print([pair.value for pair in sequence], flush=True)

def main():
    work()
    for method in ("spawn", "forkserver"):
        child = multiprocessing.get_context(method).Process(target=work)
        child.start()
        child.join()
        assert child.exitcode == 0

def abandon():
    global running
    sequence = Sequence(ProcessStep(square, 2), PoolStep(square))
    sequence.queue_iterable(Pair(value) for value in itertools.count())
    running = iter(sequence)
    print(next(running).value, flush=True)
"""


def script(tmp_path: Path, ending: str) -> Path:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT + ending)
    return path


def ran(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=60, check=False)


def test_a_plain_script_under_spawn_and_forkserver(tmp_path):
    done = ran(script(tmp_path, "if __name__ == '__main__': main()"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[0, 1, 16, 81, 256]"] * 3


def test_a_script_that_ends_in_the_midst_ends(tmp_path):
    done = ran(script(tmp_path, "if __name__ == '__main__': abandon()"))
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


def test_a_script_without_a_guard_is_told_so(tmp_path):
    done = ran(script(tmp_path, "work()"))
    assert done.returncode == 1
    assert "freeze_support" in done.stderr


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    path = script(tmp_path, "if __name__ == '__main__': abandon(); time.sleep(60)")
    with subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        workers = psutil.Process(parent.pid).children()
        assert len(workers) == 2
        parent.kill()
    assert psutil.wait_procs(workers, timeout=10)[1] == []
