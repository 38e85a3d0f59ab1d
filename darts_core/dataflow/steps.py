"""The parts a sequence is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from darts_core.dataflow.errors import DataflowError


@dataclass(frozen=True, slots=True)
class PoolStep:
    """Applies `fn` to each item in `nworkers` threads: for reading and for numpy, which let go of the interpreter.

    What `fn` returns is the item of the next stage, None included.
    """

    fn: Callable[[Any], Any]
    nworkers: int = 1

    def __post_init__(self) -> None:
        check_workers(self.fn, self.nworkers)


@dataclass(frozen=True, slots=True)
class ProcessStep:
    """Applies `fn` to each item in `nworkers` processes: for a function that holds the interpreter.

    `fn`, the items and the results are pickled; arrays go as they lie in memory. A script that uses it needs the
    guard `if __name__ == "__main__":`, as with multiprocessing.
    """

    fn: Callable[[Any], Any]
    nworkers: int = 1

    def __post_init__(self) -> None:
        check_workers(self.fn, self.nworkers)


@dataclass(frozen=True, slots=True)
class PackStep:
    """Groups items into lists of `n`; the last list holds what remains."""

    n: int

    def __post_init__(self) -> None:
        check_count("A pack", self.n)


@dataclass(frozen=True, slots=True)
class UnpackStep:
    """Hands on the members of each list one by one."""


@dataclass(frozen=True, slots=True)
class RepackStep:
    """Regroups lists of any length into lists of `n`; the last list holds what remains."""

    n: int

    def __post_init__(self) -> None:
        check_count("A repack", self.n)


@dataclass(frozen=True, slots=True)
class Queue:
    """How many finished items may wait behind the step before it; one where no queue is given."""

    n: int

    def __post_init__(self) -> None:
        check_count("A queue", self.n)


SingleStep = PoolStep | ProcessStep | PackStep | UnpackStep
Step = SingleStep | RepackStep


def check_workers(fn: object, nworkers: int) -> None:
    if not callable(fn):
        raise DataflowError(f"A step takes a function; received {fn!r}")
    check_count(f"The step {name_of(fn)}", nworkers, "workers")


def check_count(what: str, number: int, of: str = "items") -> None:
    if number < 1:
        raise DataflowError(f"{what} needs 1 or more {of}; received {number}")


def name_of(fn: object) -> str:
    """The name of a function, of what a partial wraps, or of a callable object's class."""
    fn = getattr(fn, "func", fn)
    return getattr(fn, "__qualname__", type(fn).__qualname__)


def with_bounds(parts: tuple[Step | Queue, ...]) -> list[tuple[SingleStep, int]]:
    """Each step with the bound of the queue behind it; a repack is an unpack and a pack.

    Raises:
        DataflowError: there is no step, something is no step, or a queue does not follow one.
    """
    made: list[tuple[SingleStep, int]] = []
    follows = False
    for part in parts:
        if isinstance(part, Queue):
            if not follows:
                raise DataflowError("A queue lies behind a step; received one at the start or two in a row")
            made[-1] = made[-1][0], part.n
        elif isinstance(part, RepackStep):
            made += [(UnpackStep(), 1), (PackStep(part.n), 1)]
        elif isinstance(part, Step):
            made.append((part, 1))
        else:
            raise DataflowError(f"A sequence is made of steps and queues; received {part!r}")
        follows = not isinstance(part, Queue)
    if not made:
        raise DataflowError("A sequence needs a step; received none")
    return made
