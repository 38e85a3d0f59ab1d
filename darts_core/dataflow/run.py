"""One epoch of a sequence: the pipeline that SPDL drives, its bounds, its end and its stop.

SPDL gives the event loop, the threads and the order. Put around it are exact bounds (its own queues hold two items
each, its stages two more than they have workers), failures that cannot be missed, and the proof at the end that every
stage gave what it took.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import pairwise
from typing import Any

from spdl.pipeline import AsyncQueue, Pipeline, PipelineBuilder, PipelineFailure, StageInfo

from darts_core.dataflow.errors import DataflowError, Failures
from darts_core.dataflow.processes import Workers
from darts_core.dataflow.stages import Message, PackStage, SourceStage, Stage, UnpackStage, WorkStage
from darts_core.dataflow.status import StageStatus
from darts_core.dataflow.steps import PackStep, SingleStep, UnpackStep, name_of

PATIENCE = 1.0
"""Seconds that an error leaves to the items before it, where the consumer waits for them."""


class Run:
    """The items of one epoch, to be iterated once; then, or early, to be stopped."""

    def __init__(
        self,
        steps: list[tuple[SingleStep, int]],
        items: Iterator[Any],
        quarantine: bool,
        workers: Mapping[int, Workers],
    ) -> None:
        self.failures = Failures(quarantine)
        self._workers = workers
        self._source = SourceStage(items, self.failures)
        made = [_stage(step, workers.get(place), self.failures) for place, (step, _) in enumerate(steps)]
        self._stages: list[Stage] = [self._source, *made]
        self._links: list[Link] = []
        self._pipeline = self._built([1, *(bound for _, bound in steps)])
        self._delivered = 0
        self._waited = 0.0
        self._began = time.monotonic()
        self._final: tuple[StageStatus, ...] = ()
        self.running = True
        self.complete = False
        """Whether every item was delivered."""

    def __iter__(self) -> Iterator[Any]:
        self._pipeline.start()
        while (message := self._next()) is not None:
            if message.error is not None:
                raise message.error
            self._delivered += 1
            value = message.value
            del message
            yield value
            del value
        self._prove()
        self.complete = True

    def stop(self, *, keep_workers: bool = False) -> None:
        """Leave no thread, and no process unless they are kept; waits for the items that threads have in work."""
        if self.running:
            seconds = time.monotonic() - self._began
            self.running = False
            self.failures.closed = True
            with suppress(PipelineFailure):
                self._pipeline.stop()
            self._final = self._status_after(seconds)
            del self._pipeline, self._links  # and the items in them
        if not keep_workers:
            for workers in self._workers.values():
                workers.interrupt()
        for stage in self._stages:
            if isinstance(stage, WorkStage):
                stage.executor.shutdown(cancel_futures=True)
        if not keep_workers:
            for workers in self._workers.values():
                workers.close()

    def status(self) -> tuple[StageStatus, ...]:
        return self._status_after(time.monotonic() - self._began) if self.running else self._final

    def _status_after(self, seconds: float) -> tuple[StageStatus, ...]:
        stages = [_stage_status(stage, link, seconds) for stage, link in zip(self._stages, self._links, strict=True)]
        count, waited = self._delivered, min(self._waited, seconds)
        consumer = StageStatus("consumer", 1, count, count, 0, seconds - waited, waited, 0, 0.0, 0)
        return (*stages, consumer)

    def _built(self, bounds: list[int]) -> Pipeline[Message]:
        builder: PipelineBuilder[Any, Message] = PipelineBuilder()
        builder.add_source(self._source)
        for stage in self._stages[1:]:
            stage.join(builder)
        slots = [asyncio.Semaphore(one.workers) if isinstance(one, WorkStage) else None for one in self._stages]

        def queue(info: StageInfo, *, buffer_size: int) -> AsyncQueue:
            place = len(self._links)
            if place == len(self._stages):  # the sink's, which has what room the last link has
                return AsyncQueue(info, buffer_size=0)
            last = place + 1 == len(self._stages)
            self._links.append(Link(info, bounds[place], slots[place], None if last else slots[place + 1], last))
            return self._links[-1]

        made: Any = queue  # SPDL says class where it calls any factory
        return builder.add_sink().build(num_threads=1, queue_class=made, task_hook_factory=lambda info: [])

    def _next(self) -> Message | None:
        """The next message, None at the end; an error overtakes items that let the consumer wait too long."""
        if not self.running:
            raise DataflowError("The sequence was stopped while it was iterated")
        started = time.monotonic()
        try:
            while True:
                with suppress(TimeoutError):
                    message = self._pipeline.get_item(timeout=0.2)
                    self._links[-1].leave_threadsafe()
                    return message
                if self.failures.first is not None and time.monotonic() - self.failures.since > PATIENCE:
                    raise self.failures.first
        except EOFError:
            return None
        except PipelineFailure as error:
            raise DataflowError(f"The pipeline broke: {error.exceptions[0]}") from error
        finally:
            self._waited += time.monotonic() - started

    def _prove(self) -> None:
        problems = [f"{stage.name} kept {stage.lost()}" for stage in self._stages if stage.lost()]
        for before, after in pairwise(self._stages):
            if after.meter.taken != before.meter.given:
                problems.append(f"{before.name} gave {before.meter.given}, {after.name} took {after.meter.taken}")
        if self._delivered != self._stages[-1].meter.given:
            problems.append(f"{self._stages[-1].name} gave {self._stages[-1].meter.given}, {self._delivered} arrived")
        if problems:
            raise DataflowError(f"Items were lost or doubled, a defect of this package: {'; '.join(problems)}")


class Link(AsyncQueue):
    """The queue behind a stage: holds `bound` items, and lets the stage after it take as many as it has workers.

    Only SPDL's event loop uses it, but for `leave_threadsafe`.
    """

    def __init__(
        self,
        info: StageInfo,
        bound: int,
        before: asyncio.Semaphore | None,
        after: asyncio.Semaphore | None,
        last: bool,
    ) -> None:
        super().__init__(info, buffer_size=0)
        self.bound = bound
        self.queued = 0
        self._room = asyncio.Semaphore(bound)
        self._before, self._after, self._last = before, after, last
        self._loop: asyncio.AbstractEventLoop | None = None
        self._number = -1
        self._filled = 0.0
        self._began = self._changed = time.monotonic()

    @property
    def mean_queued(self) -> float:
        return self._filled / max(self._changed - self._began, 1e-9)

    async def put(self, item: Any) -> None:
        if not (isinstance(item, Message) and item.set_aside):
            await self._enter(item)
        if self._before is not None:
            self._before.release()

    async def _enter(self, item: Any) -> None:
        await self._room.acquire()
        if isinstance(item, Message):
            if item.number <= self._number:
                raise DataflowError(f"{self.info} gave number {item.number} after {self._number}")
            self._number = item.number
            self._loop = asyncio.get_running_loop()
            self._change(1)
        await super().put(item)

    async def get(self) -> Any:
        if self._after is not None:
            await self._after.acquire()
        return await super().get()

    def get_nowait(self) -> Any:
        item = super().get_nowait()
        if isinstance(item, Message) and not self._last:
            self._leave()
        return item

    def leave_threadsafe(self) -> None:
        """The consumer took an item, which made room."""
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop has ended, and nobody waits for room
            self._loop.call_soon_threadsafe(self._leave)

    def _leave(self) -> None:
        self._change(-1)
        self._room.release()

    def _change(self, by: int) -> None:
        now = time.monotonic()
        self._filled += self.queued * (now - self._changed)
        self._changed = now
        self.queued += by


def _stage(step: SingleStep, workers: Workers | None, failures: Failures) -> Stage:
    if isinstance(step, PackStep):
        return PackStage(step.n, failures)
    if isinstance(step, UnpackStep):
        return UnpackStage(failures)
    return WorkStage(name_of(step.fn), failures, workers or step.fn, step.nworkers)


def _stage_status(stage: Stage, link: Link, seconds: float) -> StageStatus:
    meter = stage.meter
    return StageStatus(
        name=stage.name,
        workers=stage.workers,
        items_in=meter.taken,
        items_out=meter.given,
        bad=meter.bad,
        busy=meter.busy,
        waiting=max(0.0, stage.workers * seconds - meter.busy),
        queued=link.queued,
        mean_queued=link.mean_queued,
        bound=link.bound,
    )
