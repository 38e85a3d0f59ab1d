"""The assets of a STAC Item as a folder of files, read where they lie; its hrefs are hostile until checked."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from darts_core.remote import RemoteFile, is_remote, read_bytes, size_and_mark
from darts_core.scenes.folders import Entry, Folder
from darts_core.scenes.scene import SceneError, check_relative
from darts_core.web import leads_inside

ITEM = "item.json"
"""Name of the Item itself among its files; the others are keys of assets."""

_UNSTEADY = ("created", "updated", "expires")
_SCHEMES = ("https", "http", "s3")


class ItemFolder(Folder):
    """An Item and its assets, by key."""

    def __init__(
        self, url: str, item: Mapping[str, Any], entries: Mapping[str, Entry], hrefs: Mapping[str, str], endpoint: Any
    ) -> None:
        super().__init__(url, entries)
        self._item, self._hrefs, self._endpoint = item, hrefs, endpoint

    @classmethod
    def open(cls, url: str, files: Iterable[str], options: Mapping[str, Any] | None) -> ItemFolder:
        """Read the Item at `url`, and ask for size and mark of its assets named in `files`.

        Raises:
            SceneError: no Item there, an asset that is gone, or an href that is not to be followed.
        """
        item = read_item(url, options)
        assets = {key: item["assets"][key] for key in files if key in item["assets"]}
        hrefs = {key: resolve_href(asset.get("href"), url, key) for key, asset in assets.items()}
        # a server answers many such small questions at once
        with ThreadPoolExecutor(8) as pool:
            marks = pool.map(lambda key: _entry(hrefs[key], f"{url}: asset {key!r}", options), hrefs)
            entries = dict(zip(hrefs, marks, strict=True))
        entries[ITEM] = _document_entry(item, assets)
        return cls(url, item, entries, hrefs, (options or {}).get("endpoint_url"))

    def _read(self, name: str) -> bytes:
        if name != ITEM:
            raise OSError("it is an asset, which is read by windows")
        return json.dumps(self._item).encode()

    def named(self, name: str) -> str:
        return self.url if name == ITEM else self._hrefs.get(name, f"{self.url}: asset {name!r}")

    def href(self, name: str) -> str:
        return self._hrefs[name]

    def local(self, names: Iterable[str]) -> Mapping[str, Path | RemoteFile]:
        return {name: self._file(self._hrefs[name], name) for name in names}

    def _file(self, href: str, name: str) -> Path | RemoteFile:
        if is_remote(href):
            return RemoteFile(href, self.entries[name].size, self._endpoint)
        return Path(href)

    def close(self) -> None:
        """Nothing was copied."""


def read_item(url: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The STAC Item at `url`: http(s), s3, or local.

    Raises:
        SceneError: unreachable, or no Item.
    """
    try:
        item = json.loads(read_bytes(url, options))
    except (OSError, ValueError, RecursionError) as error:
        raise SceneError(f"The STAC Item {url} cannot be read: {error}. Was it removed? Search again") from error
    shape = isinstance(item, dict) and item.get("type") == "Feature" and "stac_version" in item
    parts = shape and all(isinstance(item.get(name), dict) for name in ("assets", "properties"))
    if not parts or not all(isinstance(asset, dict) for asset in item["assets"].values()):
        raise SceneError(f"{url} is not a STAC Item (a GeoJSON Feature with stac_version, properties and assets)")
    return item


def resolve_href(href: object, item_url: str, key: str) -> str:
    """Where an asset lies: http(s) or s3, or local below the folder of a local Item.

    Raises:
        SceneError: anything else, and what could make this machine ask in its own network: an address that is
            loopback or private, unless the Item itself came from there.
    """
    where, text = f"{item_url}: asset {key!r}", str(href or "")
    refused = f"{where}: its href {text[:200]!r} is not followed"
    if not text or any(character <= " " or character == "\\" for character in text):
        raise SceneError(f"{refused}; expected a URL without spaces, control characters and backslashes")
    if not is_remote(item_url) and not urlsplit(text).scheme:
        return posixpath.join(posixpath.dirname(item_url), check_relative(posixpath.normpath(text), where))
    resolved = text if urlsplit(text).scheme else _joined(item_url, text)
    parts = urlsplit(resolved)
    if parts.scheme not in _SCHEMES or not parts.hostname or parts.username is not None:
        raise SceneError(f"{refused}; expected https://…, s3://… or a path relative to the Item")
    if ".." in parts.path.split("/"):
        raise SceneError(f"{refused}; it leads upwards")
    source = urlsplit(item_url).hostname
    if parts.scheme != "s3" and parts.hostname != source and leads_inside(parts.hostname, source or ""):
        raise SceneError(f"{refused}; it points into the network of this machine")
    return resolved


def _joined(item_url: str, text: str) -> str:
    if item_url.startswith("s3://"):
        # urljoin knows no s3
        return "s3://" + urljoin(f"https://{item_url.removeprefix('s3://')}", text).removeprefix("https://")
    return urljoin(item_url, text)


def _entry(href: str, where: str, options: Mapping[str, Any] | None) -> Entry:
    try:
        return Entry(*size_and_mark(href, options))
    except OSError as error:
        raise SceneError(f"{where} ({href}) cannot be reached: {error}. Run it again, or fetch the scene") from error


def _document_entry(item: Mapping[str, Any], assets: Mapping[str, Any]) -> Entry:
    """What the Item says that reading depends on: catalogues touch their Items up without a change of the data."""
    steady = {name: value for name, value in item["properties"].items() if name not in _UNSTEADY}
    text = json.dumps([item.get("id"), steady, assets], sort_keys=True)
    return Entry(len(text), hashlib.blake2b(text.encode(), digest_size=16).hexdigest())
