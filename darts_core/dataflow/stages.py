"""The stages of one run, as SPDL calls them: each takes messages and gives messages.

SPDL takes None for "nothing to hand on" and drops an item whose function raises. So items travel in messages, and a
function that fails here returns a message that carries its error to the consumer, in the item's place.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from spdl.pipeline import PipelineBuilder
from spdl.pipeline.defs import Aggregator

from darts_core.dataflow.errors import DataflowError, Failures
from darts_core.dataflow.processes import Workers
from darts_core.dataflow.status import Meter


@dataclass(frozen=True, slots=True)
class Message:
    """An item on its way."""

    number: int
    """Its place among what the last stage gave."""
    items: tuple[int, ...]
    """Which items of the source it is or holds."""
    value: Any
    error: DataflowError | None = None
    """Set where a stage failed; then there is no value."""
    set_aside: bool = False
    """A stage failed and that is listed: it goes no further than the next link."""


class Stage:
    """What all stages share."""

    workers = 1
    fatal = False
    """Whether nothing can follow an item that failed here."""

    def __init__(self, name: str, failures: Failures) -> None:
        self.name = name
        self.meter = Meter()
        self.failures = failures

    def failed(self, message: Message, error: BaseException) -> Message:
        """What to hand on for an item that failed here."""
        raised = self.failures.report(self.name, message.items, error, fatal=self.fatal)
        if raised is None:
            self.meter.count(bad=1)
        return replace(message, value=None, error=raised, set_aside=raised is None)

    def join(self, builder: PipelineBuilder[Any, Any]) -> None:
        """Become the next stage of a pipeline."""

    def lost(self) -> int:
        """Items that went in and neither came out nor were set aside, once the run is over."""
        return self.meter.taken - self.meter.given - self.meter.bad


class SourceStage(Stage):
    """Draws and numbers items."""

    fatal = True

    def __init__(self, items: Iterator[Any], failures: Failures) -> None:
        super().__init__("source", failures)
        self._items = items

    def __iter__(self) -> Iterator[Message]:
        items, self._items = self._items, iter(())  # so that a generator ends with this one
        for number in count():
            started = time.perf_counter()
            try:
                value = next(items)
            except StopIteration:
                return
            except BaseException as error:
                yield self.failed(Message(number, (number,), None), error)
                return
            self.meter.count(taken=1, given=1, busy=time.perf_counter() - started)
            yield Message(number, (number,), value)
            del value


class WorkStage(Stage):
    """Applies a function in threads, each of which may stand for a process."""

    def __init__(self, name: str, failures: Failures, function: Callable[[Any], Any] | Workers, workers: int) -> None:
        super().__init__(name, failures)
        self.workers = workers
        self._apply = function.call if isinstance(function, Workers) else timed(function)
        self.executor = ThreadPoolExecutor(workers, thread_name_prefix=name)

    def __call__(self, message: Message) -> Message:
        if message.error is not None:
            return message
        self.meter.count(taken=1)
        try:
            value, seconds = self._apply(message.value)
        except BaseException as error:
            return self.failed(message, error)
        self.meter.count(given=1, busy=seconds)
        return replace(message, value=value)

    def join(self, builder: PipelineBuilder[Any, Any]) -> None:
        builder.pipe(self, executor=self.executor, concurrency=self.workers, output_order="input", name=self.name)


class PackStage(Stage, Aggregator):
    """Groups items into lists."""

    def __init__(self, size: int, failures: Failures) -> None:
        super().__init__(f"pack({size})", failures)
        self._size = size
        self._held: list[Message] = []
        self._packed = 0

    def accumulate(self, message: Message) -> Message | None:
        if message.error is not None:
            return message
        self.meter.count(taken=1)
        self._held.append(message)
        return self.flush() if len(self._held) == self._size else None

    def flush(self) -> Message | None:
        held, self._held = self._held, []
        if not held:
            return None
        self._packed += len(held)
        items = sorted({item for message in held for item in message.items})
        packed = Message(self.meter.given, tuple(items), [message.value for message in held])
        self.meter.count(given=1)
        return packed

    def lost(self) -> int:
        return self.meter.taken - self._packed

    def join(self, builder: PipelineBuilder[Any, Any]) -> None:
        builder.aggregate(self)


class UnpackStage(Stage):
    """Hands on the members of lists."""

    def __init__(self, failures: Failures) -> None:
        super().__init__("unpack", failures)
        self._members = 0

    async def unpack(self, message: Any) -> AsyncIterator[Any]:
        if message.error is not None:
            yield message
            return
        self.meter.count(taken=1)
        try:
            values = list(message.value)
        except Exception as error:
            yield self.failed(message, error)
            return
        self._members += len(values)
        alike = len(values) == len(message.items)
        for place, value in enumerate(values):
            items = (message.items[place],) if alike else message.items
            given = Message(self.meter.given, items, value)
            self.meter.count(given=1)
            yield given

    def lost(self) -> int:
        return self._members - self.meter.given

    def join(self, builder: PipelineBuilder[Any, Any]) -> None:
        builder.pipe(self.unpack, name=self.name)


def timed(function: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, float]]:
    """The function, with the seconds that it took."""

    def call(value: Any) -> tuple[Any, float]:
        started = time.perf_counter()
        return function(value), time.perf_counter() - started

    return call
