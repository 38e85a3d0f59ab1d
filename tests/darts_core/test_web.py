"""Web servers cannot send this machine into its own network, and what is told of them shows no secret."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from darts_core import remote, web
from darts_core.catalogue import CatalogueError, Query, open_catalogue
from darts_core.scenes.itemfolder import resolve_href
from darts_core.scenes.scene import SceneError

REDIRECTS = {
    "/metadata": "http://169.254.169.254/latest/meta-data",
    "/private": "http://10.1.2.3/a.tif",
    "/localhost": "http://localhost:1/a.tif",
    "/odd": "http://0x7f.1/a.tif",
    "/file": "file:///etc/passwd",
    "/v6": "http://[::1]/a.tif",
    "/again": "/private",
    "/home": "/whole",
}


class Redirecting(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        target = REDIRECTS.get(self.path.partition("?")[0])
        self.send_response(302 if target else 200 if self.path == "/whole" else 404)
        if target:
            self.send_header("Location", target)
        self.send_header("Content-Length", "5" if self.path == "/whole" else "0")
        self.end_headers()
        if self.path == "/whole" and self.command == "GET":
            self.wfile.write(b"whole")

    do_HEAD = do_POST = do_GET

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a server that redirects."""
    monkeypatch.setattr(web, "PAUSE", 0.01)
    started = ThreadingHTTPServer(("127.0.0.1", 0), Redirecting)
    threading.Thread(target=started.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{started.server_port}"
    started.shutdown()
    started.server_close()


@pytest.mark.parametrize("path", [path for path in REDIRECTS if path != "/home"])
def test_a_redirect_inside_is_not_followed(path: str, server: str) -> None:
    for ask in (remote.read_bytes, remote.size_and_mark, lambda url: list(remote.blocks_of(url))):
        with pytest.raises(OSError, match=r"redirects to .*(not followed|no web address)"):
            ask(server + path)


def test_a_catalogue_is_not_either(server: str) -> None:
    with pytest.raises(CatalogueError, match="in the network of this machine"):
        open_catalogue(f"{server}/private").search(Query())


def test_a_redirect_on_the_same_host_is_followed(server: str) -> None:
    assert remote.read_bytes(f"{server}/home") == b"whole"


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name service that knows three names."""
    known = {"inside.example": "10.0.0.7", "neighbour.example": "10.0.0.8", "outside.example": "93.184.215.14"}

    def getaddrinfo(host: str, *_: object, **__: object) -> list[tuple]:
        if host not in known:
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (known[host], 0))]

    web._resolves_inside.cache_clear()
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield
    web._resolves_inside.cache_clear()


@pytest.mark.usefixtures("names")
def test_a_name_for_an_inside_address_is_followed_only_from_inside() -> None:
    with pytest.raises(SceneError, match="into the network of this machine"):
        resolve_href("https://inside.example/a.tif", "https://outside.example/items/b", "red")
    for item in ("https://neighbour.example/items/b", "https://inside.example/items/b"):
        assert resolve_href("https://inside.example/a.tif", item, "red") == "https://inside.example/a.tif"
    assert resolve_href("https://outside.example/a.tif", "https://inside.example/b", "red").startswith("https://outs")
    assert resolve_href("https://unknown.example/a.tif", "https://outside.example/b", "red").startswith("https://unk")


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "10.0.0.1", "::1", "169.254.169.254", "localhost", "a.internal"),
        *("0x7f.1", "2130706433", "017700000001"),
    ],
)
def test_addresses_of_this_network_are_known_in_every_spelling(host: str) -> None:
    assert web.is_inside(host)


@pytest.mark.parametrize("host", ["93.184.215.14", "catalogue.org", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
def test_others_are_not(host: str) -> None:
    assert not web.is_inside(host)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:pa55@host/a.tif", "https://host/a.tif"),
        ("404 for url: https://h/a?sig=pa55&x=1", "404 for url: https://h/a?sig=***&x=1"),
        (
            "https://h/a?X-Amz-Credential=pa55&X-Amz-Signature=pa55",
            "https://h/a?X-Amz-Credential=***&X-Amz-Signature=***",
        ),
        ("https://h/a?token=pa55 (x)", "https://h/a?token=*** (x)"),
        ("https://h/a?api_key=pa55", "https://h/a?api_key=***"),
        ("https://h/a?asset=dem", "https://h/a?asset=dem"),
    ],
)
def test_what_people_are_told_has_no_secret(text: str, shown: str) -> None:
    assert web.without_secrets(text) == shown


def test_an_error_of_a_signed_address_does_not_show_its_signature(server: str) -> None:
    for ask in (remote.read_bytes, remote.size_and_mark):
        with pytest.raises(OSError, match="404") as raised:
            ask(f"{server}/gone?sig=pa55&x=1")
        assert "pa55" not in str(raised.value)
