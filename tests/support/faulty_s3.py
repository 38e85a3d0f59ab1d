"""A proxy in front of an S3 server that fails as networks and busy services do, on request.

``with faulty(endpoint) as s3`` gives a proxy at `FaultyS3.url`; `FaultyS3.fail` says which requests meet which fault
how often. What is not to fail goes through unchanged, and `FaultyS3.seen` has every request.
"""

import http.client
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import unquote, urlsplit

Kind = Literal["500", "503", "reset", "lost answer", "cut answer", "cut request", "slow"]
"""
``500``, ``503``: an internal error; S3's SlowDown. ``reset``: the connection, before anything was done.
``lost answer``: done, then the connection is reset. ``cut answer``: half of the body. ``cut request``: reset after half
of the body was taken. ``slow``: an answer after `FaultyS3.delay` seconds.
"""

_BUSY = {"500": ("InternalError", "We encountered an internal error"), "503": ("SlowDown", "Please reduce your rate")}
_ENTRY = re.compile(rb"<Contents>.*?<Key>(.*?)</Key>.*?</Contents>", re.DOTALL)
_HOP = {"connection", "transfer-encoding", "keep-alive", "date", "server"}


@dataclass
class _Fault:
    kind: Kind
    method: str
    part: str
    left: int


@dataclass
class FaultyS3:
    """The proxy."""

    upstream: str
    delay: float = 3.0
    """Seconds before a slow answer."""
    latency: float = 0.0
    """Seconds before every answer."""
    listing_lags: bool = False
    """Whether listings show nothing of what was put since this was set."""
    url: str = ""
    seen: list[tuple[str, str]] = field(default_factory=list)
    """Method, and path with query, of every request."""
    sent: int = 0
    """Bytes of the bodies that were answered."""
    _faults: list[_Fault] = field(default_factory=list)
    _put: set[bytes] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, kind: Kind, *, method: str = "", part: str = "", times: int = 1_000_000) -> None:
        """The next requests of this method whose path holds `part` meet a fault, so many times; any where empty."""
        self._faults.append(_Fault(kind, method, part, times))

    def heal(self) -> None:
        """No more faults."""
        self._faults.clear()
        self.listing_lags = False
        self._put.clear()

    def count(self, method: str, part: str = "") -> int:
        """How many requests of a method named `part`."""
        return sum(one == method and part in path for one, path in self.seen)

    def next_fault(self, method: str, path: str) -> Kind | None:
        """What is to happen to this request."""
        with self._lock:
            self.seen.append((method, path))
            for fault in self._faults:
                if fault.left and fault.method in ("", method) and fault.part in path:
                    fault.left -= 1
                    return fault.kind
            if method == "PUT" and self.listing_lags:
                self._put.add(unquote(urlsplit(path).path).split("/", 2)[-1].encode())
        return None

    def listed(self, body: bytes) -> bytes:
        """A listing without what it does not show yet."""
        return _ENTRY.sub(lambda entry: b"" if entry[1] in self._put else entry[0], body)


@contextmanager
def faulty(upstream: str, **settings: float) -> Iterator[FaultyS3]:
    """A proxy in front of the server `upstream`, on a port of its own, for as long as this context lasts."""
    proxy = FaultyS3(upstream, **settings)  # type: ignore[arg-type]
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": proxy}))
    server.daemon_threads = True
    proxy.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    """Relays one request to the server behind, with the fault that is due."""

    proxy: FaultyS3
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _relay(self) -> None:
        fault = self.proxy.next_fault(self.command, self.path)
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size // 2 if fault == "cut request" else size)
        time.sleep(self.proxy.latency)
        if fault in ("reset", "cut request"):
            self._reset()
        elif fault in _BUSY:
            self._busy(fault)
        else:
            self._answer(fault, *self._ask(body))

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _relay

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(urlsplit(self.proxy.upstream).netloc, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if "list-type=2" in self.path:
            content = self.proxy.listed(content)
        return answer.status, answer.getheaders(), content

    def _answer(self, fault: Kind | None, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        if fault == "lost answer":
            self._reset()
            return
        if fault == "slow":
            time.sleep(self.proxy.delay)
        self.proxy.sent += len(content)
        # whoever asked has given up waiting
        with suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(status)
            for name, value in headers:
                if name.lower() not in _HOP and (name.lower() != "content-length" or self.command == "HEAD"):
                    self.send_header(name, value)
            if self.command != "HEAD":
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content[: len(content) // 2] if fault == "cut answer" else content)
            if fault == "cut answer":
                self.wfile.flush()
                self._reset()

    def _busy(self, fault: str) -> None:
        code, message = _BUSY[fault]
        content = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
        self.send_response(int(fault))
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def finish(self) -> None:
        with suppress(OSError, ValueError):
            super().finish()

    def log_message(self, *arguments: object) -> None:
        pass
