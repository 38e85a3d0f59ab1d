"""A sequence of stages, used again for every epoch."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any, Self

from darts_core.dataflow.errors import BadItem, DataflowError
from darts_core.dataflow.status import StageStatus
from darts_core.dataflow.steps import ProcessStep, Queue, Step, with_bounds

if TYPE_CHECKING:
    from darts_core.dataflow.processes import Workers
    from darts_core.dataflow.run import Run


class Sequence:
    """Stages with queues between them: `queue_iterable` gives an epoch its items, iterating gives the results.

    Results come in the order of the source, the remainder of a pack last. At most as many items are on their way as
    there are workers and places in queues, and two more are drawn from the source; packs and unpacked lists count
    whole. The iteration ends when all have come, proven by counts at each stage; then the next epoch may be queued.

    What a stage or the source raises, and the death of a worker process, is a `DataflowError` in the place of the
    item, at the latest a second after the consumer waits. With `quarantine`, items that a stage failed at are left
    out and listed in `quarantined`; an error of the source still ends the epoch.

    Leaving the loop early, by whatever way, stops all: processes are killed, threads finish the item in hand, so a
    function in a thread should not take long. A source that blocks cannot be interrupted; its thread ends with the
    item it waits for. Inside `with`, worker processes serve epoch after epoch; without it each epoch starts its own.

    Raises:
        DataflowError: parts that are no sequence of steps and queues.
    """

    def __init__(self, *parts: Step | Queue, quarantine: bool = False) -> None:
        self._steps = with_bounds(parts)
        self._quarantine = quarantine
        self._queued: list[Iterable[Any]] = []
        self._workers: dict[int, Workers] = {}
        self._entered = False
        self._run: Run | None = None

    def queue_iterable(self, iterable: Iterable[Any]) -> None:
        """Give the next epoch its items, drawn as there is room; those queued before it come first."""
        self._queued.append(iterable)

    def __iter__(self) -> Iterator[Any]:
        # imported here: SPDL takes a tenth of a second, which others who log progress need not pay
        from darts_core.dataflow.run import Run

        if self._run is not None and self._run.running:
            raise DataflowError("The sequence is iterated already; end that iteration, or make a second sequence")
        if not self._queued:
            raise DataflowError("There is nothing to iterate; call queue_iterable first, once for each epoch")
        queued, self._queued = self._queued, []
        run = self._run = Run(self._steps, chain.from_iterable(queued), self._quarantine, self._started_workers())
        consumer = threading.get_ident()
        try:
            yield from run
        finally:
            kept = self._entered and run.complete
            if not kept:
                self._workers = {}
            if threading.get_ident() == consumer:
                run.stop(keep_workers=kept)
            else:  # collected as garbage by one of the threads to stop, which cannot wait for itself
                threading.Thread(target=run.stop).start()

    def flowstatus(self) -> tuple[StageStatus, ...]:
        """How each stage fares, from the source to the consumer, in this epoch or the last; empty before the first."""
        return () if self._run is None else self._run.status()

    @property
    def quarantined(self) -> tuple[BadItem, ...]:
        """The items that this epoch, or the last, left out, in the order of the source."""
        return () if self._run is None else tuple(sorted(self._run.failures.set_aside, key=lambda bad: bad.items))

    def __enter__(self) -> Self:
        self._entered = True
        return self

    def __exit__(self, *error: object) -> None:
        self._entered = False
        if self._run is not None:
            self._run.stop()
        self._workers = {}

    def _started_workers(self) -> dict[int, Workers]:
        from darts_core.dataflow.processes import Workers

        if not self._workers:
            self._workers = {
                place: Workers(step.fn, step.nworkers)
                for place, (step, _) in enumerate(self._steps)
                if isinstance(step, ProcessStep)
            }
        return self._workers
