"""What a worker process of a `ProcessStep` runs, and the messages it exchanges with `processes`.

Started as a script, so that a function of the standard library and numpy is served without loading this package.
A message is a list of byte strings on a socket: a pickle (protocol 5), then each large buffer in it as it lies in
memory. So an array is copied by the kernel alone, into memory that becomes the received array: nothing is left to
clean up, whoever dies. Shared memory saves 0.8 of 2 ms of CPU for 4 MB, but must be sized, owned and given back.
"""

from __future__ import annotations

import io
import os
import pickle
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing import process, spawn
from typing import Any, ClassVar

import numpy as np

Parts = list[Any]
"""A pickle and its buffers."""

DONE, FAILED, UNUSABLE = "done", "failed", "unusable"
"""How an item fared: a worker is unusable where its function cannot be loaded."""


def main(descriptor: int, parent: int) -> None:
    """Serve until the other end of the socket is closed or the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    with socket.socket(fileno=descriptor) as link:
        try:
            preparation, function = read(link), read(link)
            answer = _answers(preparation, function)
            while True:
                write(link, answer(read(link)))
        except (EOFError, OSError):
            return


def _follow(parent: int) -> None:
    """End with the parent, also in the midst of an item and where a fork of it keeps the socket open."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _answers(preparation: Parts, function: Parts) -> Callable[[Parts], Parts]:
    """The function from the parts of an item to the parts of its answer."""
    try:
        made = load(preparation)
        Unpickler.main = {key: made.pop(key) for key in list(made) if key.startswith("init_main")}
        spawn.prepare(made)
        fn = load(function, Unpickler)
    except BaseException as error:
        failed = dump((UNUSABLE, *_described(error)))
        return lambda item: failed

    def answer(item: Parts) -> Parts:
        try:
            value = load(item, Unpickler)
            started = time.perf_counter()
            value = fn(value)
            return dump((DONE, value, time.perf_counter() - started))
        except BaseException as error:
            return dump((FAILED, *_described(error)))

    return answer


class Unpickler(pickle.Unpickler):
    """Imports the parent's main module where something in it is needed: it may be large, as that of Dagster is."""

    main: ClassVar[dict[str, str]] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module in ("__main__", "__mp_main__") and self.main:
            main, Unpickler.main = self.main, {}
            current = process.current_process()
            current._inheriting = True  # type: ignore[attr-defined]  # a main module without a guard is told so
            spawn.prepare(main)
            del current._inheriting  # type: ignore[attr-defined]
        return super().find_class(module, name)


def _described(error: BaseException) -> tuple[str, str, bytes]:
    """Kind and message, traceback, and the exception itself as a pickle, empty where it has none."""
    try:
        pickled = pickle.dumps(error)
    except Exception:
        pickled = b""
    return traceback.format_exception_only(error)[-1].strip(), traceback.format_exc(), pickled


def dump(value: object) -> Parts:
    """A pickle of `value`, and the memory of the arrays in it."""
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return [body, *(buffer.raw() for buffer in buffers)]


def load(parts: Parts, unpickler: type[pickle.Unpickler] = pickle.Unpickler) -> Any:
    """What `dump` was given; arrays in it lie in the memory of `parts`."""
    return unpickler(io.BytesIO(parts[0]), buffers=parts[1:]).load()


def write(link: socket.socket, parts: Parts) -> None:
    link.sendall(struct.pack(f"<{len(parts) + 1}Q", len(parts), *map(len, parts)))
    for part in parts:
        link.sendall(part)


def read(link: socket.socket) -> Parts:
    """The next message.

    Raises:
        EOFError: the other end is closed.
    """
    (count,) = struct.unpack("<Q", _exactly(link, 8))
    sizes = struct.unpack(f"<{count}Q", _exactly(link, 8 * count))
    return [_exactly(link, size) for size in sizes]


def _exactly(link: socket.socket, size: int) -> memoryview:
    memory = np.empty(size, np.uint8).data
    done = 0
    while done < size:
        count = link.recv_into(memory[done:])
        if count == 0:
            raise EOFError
        done += count
    return memory


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
