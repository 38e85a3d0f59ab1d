"""What a job prints: messages of Dagster Pipes for the run, and lines for its output."""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.pipes.context import PipesMessageHandler
from dagster_pipes import PIPES_PROTOCOL_VERSION_FIELD, PipesDefaultMessageWriter, PipesParams

LAST_LINES = 80


class OutputReader(dg.PipesMessageReader):
    """Tells the two apart in what a backend has of it: a file, or the log of a pod."""

    def __init__(self) -> None:
        self.last: deque[str] = deque(maxlen=LAST_LINES)
        """The latest lines that are no messages."""
        self._rest = ""

    @contextmanager
    def read_messages(self, handler: PipesMessageHandler) -> Iterator[PipesParams]:
        self._handler = handler
        yield {PipesDefaultMessageWriter.STDIO_KEY: PipesDefaultMessageWriter.STDOUT}

    def take(self, text: str) -> None:
        """The next part of the text; it may end within a line."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            message = _message(line)
            if message is not None:
                self._handler.handle_message(message)
                continue
            self.last.append(line)
            sys.stderr.write(line + "\n")

    def no_messages_debug_text(self) -> str:
        return "Expected messages between the lines that the job prints; its output holds none."


class Tail:
    """What is written to a file, part by part."""

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, 0

    def read(self) -> str:
        """What was written since the last call, by whole lines; the file is opened anew, for it may be on a server."""
        with open(self._path, "rb") as file:
            file.seek(self._read)
            part = file.read()
        part = part[: part.rfind(b"\n") + 1]
        self._read += len(part)
        return part.decode(errors="replace")


def _message(line: str) -> Any:
    if PIPES_PROTOCOL_VERSION_FIELD not in line:
        return None
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and PIPES_PROTOCOL_VERSION_FIELD in found else None
