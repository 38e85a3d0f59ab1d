"""A web server on loopback: files of a folder with Range requests, and a STAC API over Items, which can fail."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import shapely
from shapely.geometry import shape
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

_CONFORMS = ("core", "item-search", "ogcapi-features")
PAGE = 2
"""Items of a page, whatever a client asks for."""


class StacServer:
    """What is served, and what was asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.items: list[dict[str, Any]] = []
        self.extensions: tuple[str, ...] = ("item-search#query",)
        """What can be asked besides place and time: ``item-search#query`` or ``item-search#filter``."""
        self.queryables: tuple[str, ...] = ()
        self.failures: dict[str, list[Callable[[], Response]]] = {}
        """Beginning of a path to what is answered instead, once each."""
        self.requests: Counter[str] = Counter()
        """Method and path to how often."""
        self.bytes_sent = 0
        """Of files."""
        self.searches: list[dict[str, Any]] = []
        self.url = ""

    def fail(self, path: str, *answers: Callable[[], Response]) -> None:
        """Answer the next requests to what begins with `path` like this."""
        self.failures.setdefault(path, []).extend(answers)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        return self._answer(Request(environ))(environ, start_response)

    def _answer(self, request: Request) -> Response:
        self.requests[f"{request.method} {request.path}"] += 1
        request.get_data()  # what is left unread, the server would wait for, and the client for the server
        for path, answers in self.failures.items():
            if answers and request.path.startswith(path):
                return answers.pop(0)()
        if request.path.startswith("/files/"):
            return self.answer_file(request.path.removeprefix("/files/"), request.headers.get("Range", ""))
        if request.path == "/api":
            return _json(self._landing())
        if request.path == "/api/search":
            return self._search(request)
        if request.path.endswith("/queryables"):
            return _json({"properties": {name: {} for name in self.queryables}})
        item = re.fullmatch(r"/api/collections/([^/]+)/items/([^/]+)", request.path)
        if item:
            found = [one for one in self.items if (one["collection"], one["id"]) == item.groups()]
            return _json(self._linked(found[0])) if found else Response("no such item", 404)
        collection = re.fullmatch(r"/api/collections/([^/]+)", request.path)
        if collection and any(one["collection"] == collection[1] for one in self.items):
            return _json(self._collection(collection[1]))
        return Response("not found", 404)

    def _landing(self) -> dict[str, Any]:
        classes = [f"https://api.stacspec.org/v1.0.0/{name}" for name in (*_CONFORMS, *self.extensions)]
        if "item-search#filter" in self.extensions:
            classes += [
                "http://www.opengis.net/spec/cql2/1.0/conf/cql2-json",
                "http://www.opengis.net/spec/cql2/1.0/conf/basic-cql2",
            ]
        links = [
            {"rel": "self", "href": f"{self.url}/api"},
            {"rel": "root", "href": f"{self.url}/api"},
            {"rel": "search", "href": f"{self.url}/api/search", "method": "GET", "type": "application/geo+json"},
            {"rel": "search", "href": f"{self.url}/api/search", "method": "POST", "type": "application/geo+json"},
        ]
        return {
            "type": "Catalog",
            "id": "test",
            "stac_version": "1.0.0",
            "description": "A catalogue for tests",
            "conformsTo": classes,
            "links": links,
        }

    def _collection(self, name: str) -> dict[str, Any]:
        self_url = f"{self.url}/api/collections/{name}"
        links = [
            {"rel": "self", "href": self_url},
            {"rel": "root", "href": f"{self.url}/api"},
            {"rel": "http://www.opengis.net/def/rel/ogc/1.0/queryables", "href": f"{self_url}/queryables"},
        ]
        extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
        return {
            "type": "Collection",
            "id": name,
            "stac_version": "1.0.0",
            "description": name,
            "license": "other",
            "extent": extent,
            "links": links,
        }

    def _search(self, request: Request) -> Response:
        asked = request.get_json() if request.method == "POST" else _from_arguments(request)
        self.searches.append(asked)
        found = [item for item in self.items if _fits(item, asked)]
        start = int(asked.get("token") or 0)
        page = found[start : start + PAGE]
        links = []
        if start + PAGE < len(found):
            body = {**asked, "token": str(start + PAGE)}
            links = [{"rel": "next", "href": f"{self.url}/api/search", "method": "POST", "body": body}]
        features = [self._linked(item) for item in page]
        return _json({"type": "FeatureCollection", "features": features, "links": links})

    def _linked(self, item: dict[str, Any]) -> dict[str, Any]:
        own = f"{self.url}/api/collections/{item['collection']}/items/{item['id']}"
        return {**item, "links": [{"rel": "self", "href": own}, {"rel": "root", "href": f"{self.url}/api"}]}

    def answer_file(self, name: str, wanted: str = "") -> Response:
        """A file, or a range of its bytes."""
        path = self.folder / name
        if not path.is_file():
            return Response("not found", 404)
        content = path.read_bytes()
        headers = {"Accept-Ranges": "bytes", "ETag": f'"{hash(content):x}"'}
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted)
        if not part:
            self.bytes_sent += len(content)
            return Response(content, 200, headers)
        first, last = int(part[1]), min(int(part[2] or len(content)), len(content) - 1)
        self.bytes_sent += last + 1 - first
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        return Response(content[first : last + 1], 206, headers)


def unavailable() -> Response:
    """A server that is overloaded."""
    return Response("busy", 503)


def cut() -> Response:
    """A body that ends before it is whole."""

    def body() -> Iterator[bytes]:
        yield b"II*\0half of a file"

    return Response(body(), 200, {"Content-Length": "100000"})


def _json(document: dict[str, Any]) -> Response:
    return Response(json.dumps(document), 200, content_type="application/json")


def _from_arguments(request: Request) -> dict[str, Any]:
    asked: dict[str, Any] = dict(request.args)
    if "collections" in asked:
        asked["collections"] = asked["collections"].split(",")
    if "bbox" in asked:
        asked["bbox"] = [float(part) for part in asked["bbox"].split(",")]
    for name in ("intersects", "query"):
        if name in asked:
            asked[name] = json.loads(asked[name])
    return asked


def _fits(item: dict[str, Any], asked: dict[str, Any]) -> bool:
    if asked.get("collections") and item["collection"] not in asked["collections"]:
        return False
    if asked.get("intersects") and not shape(item["geometry"]).intersects(shape(asked["intersects"])):
        return False
    if asked.get("bbox") and not shape(item["geometry"]).intersects(shapely.box(*asked["bbox"])):
        return False
    if asked.get("datetime"):
        first, last = asked["datetime"].split("/")
        time_of = item["properties"]["datetime"]
        if not (first in ("", "..") or first <= time_of) or not (last in ("", "..") or time_of <= last):
            return False
    query = all(
        _holds(item["properties"].get(name), operator, value)
        for name, tests in (asked.get("query") or {}).items()
        for operator, value in tests.items()
    )
    return query and (not asked.get("filter") or _evaluated(asked["filter"], item["properties"]))


def _holds(found: Any, operator: str, value: Any) -> bool:
    if found is None:
        return False
    return {"lte": lambda: found <= value, "in": lambda: found in value, "eq": lambda: found == value}[operator]()


def _evaluated(expression: dict[str, Any], properties: dict[str, Any]) -> bool:
    operator, arguments = expression["op"], expression["args"]
    if operator == "and":
        return all(_evaluated(part, properties) for part in arguments)
    found = properties.get(arguments[0]["property"])
    return _holds(found, {"<=": "lte", "in": "in"}[operator], arguments[1])


@contextmanager
def serving(folder: Path) -> Iterator[StacServer]:
    """A server on a free port, until the end."""
    application = StacServer(folder)
    server = make_server("127.0.0.1", 0, application, threaded=True)
    application.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield application
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
