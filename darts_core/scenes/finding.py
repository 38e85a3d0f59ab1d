"""Find scenes: which reader takes each candidate, and why the others are refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from darts_core.scenes import geotiff, planet, sentinel2
from darts_core.scenes.folders import Folder, child_url
from darts_core.scenes.opening import filesystem, open_tree, open_zip
from darts_core.scenes.scene import READERS, Findings, Refusal, Scene, SceneError, is_tiff

LOOKED_FOR = ".SAFE folders, .zip files, and GeoTIFFs (.tif, .tiff)"

_SAFE = re.compile(r"^(?:.*?/)?[^/]+\.SAFE(?=/)", re.IGNORECASE)

_DESCRIBE: Mapping[str, Callable[[Folder, str], Scene]] = MappingProxyType(
    {"sentinel2": sentinel2.describe, "planet": planet.describe, "geotiff": geotiff.describe}
)


def find_scenes(url: str, storage_options: Mapping[str, Any] | None = None) -> Findings:
    """Every scene at or under `url`, at the cost of a listing and of reading small metadata files.

    Args:
        url: a folder or object-store prefix, which is searched recursively, or one scene: a .SAFE folder, a zip,
            a GeoTIFF.
        storage_options: keyword arguments of the fsspec filesystem, such as ``endpoint_url``.

    Returns:
        The scenes, sorted by key, and a refusal for each candidate that no reader takes. Of two products of the same
        acquisition (L1C and L2A, two baselines) the later one in the order of product names is the scene.

    Raises:
        SceneError: nothing there, nothing that could be a scene, or an object store that does not answer.
    """
    fs, url = filesystem(url, storage_options)
    _reach(fs, url)
    if url.lower().endswith(".zip") and fs.isfile(url):
        return _distinct(*_inside_zip(url, storage_options))
    if is_tiff(url) and fs.isfile(url):
        home, _, name = url.rpartition("/")
        folder, candidates = open_tree(home, storage_options, deep=False), [name]
    else:
        folder = open_tree(url, storage_options)
        candidates = list(_candidates(folder))
    if not candidates:
        _nothing(folder, isinstance(fs, LocalFileSystem) and not fs.exists(url))
    scenes, refusals = [], []
    for candidate in [name for name in candidates if name.lower().endswith(".zip")]:
        found, refused = _inside_zip(child_url(url, candidate), storage_options)
        scenes += found
        refusals += refused
    found, refused = _described(folder, [name for name in candidates if not name.lower().endswith(".zip")])
    return _distinct(scenes + found, refusals + refused)


def is_described(url: str, storage_options: Mapping[str, Any] | None = None) -> bool:
    """Whether the file `url` is a GeoTIFF that its name or a STAC Item beside it makes a scene, sound or not."""
    home, _, name = url.rpartition("/")
    if not is_tiff(name):
        return False
    return planet.is_reflectance(name) or geotiff.has_item(open_tree(home, storage_options, deep=False), name)


def _reach(fs: fsspec.AbstractFileSystem, url: str) -> None:
    try:
        fs.info(url)
    except FileNotFoundError:
        pass  # told by what is not found there
    except Exception as error:
        # every object store has errors of its own for a missing credential, a wrong endpoint, a closed door
        raise SceneError(
            f"{url} cannot be reached ({type(error).__name__}: {error}). Check the address, the endpoint "
            "(s3_endpoint) and the credentials (AWS_… variables or a profile)"
        ) from error


def _nothing(folder: Folder, absent: bool) -> None:
    if absent:
        raise SceneError(f"{folder.url} does not exist. Expected a folder with scenes: {LOOKED_FOR}")
    raise SceneError(
        f"{folder.url} holds no scene: looked for {LOOKED_FOR} in it and below, "
        f"found {len(folder.entries) or 'no'} other files"
    )


def _candidates(folder: Folder) -> Iterator[str]:
    """Folders of .SAFE products, by name or by their metadata, and the zips and GeoTIFFs outside of them."""
    documents = [name for name in folder.entries if name.rpartition("/")[2] in sentinel2.DOCUMENTS]
    products = {name.rpartition("/")[0] for name in documents}
    if folder.url.upper().endswith(".SAFE"):
        products.add("")
    outside = []
    for name in folder.entries:
        safe = _SAFE.match(name)
        if safe:
            products.add(safe[0])
        else:
            outside.append(name)
    yield from sorted(products)
    for name in outside:
        inside = any(parent in products for parent in _parents(name))
        if not inside and (name.lower().endswith(".zip") or (is_tiff(name) and not planet.is_companion(name))):
            yield name


def _parents(name: str) -> Iterator[str]:
    parts = name.split("/")[:-1]
    return ("/".join(parts[:depth]) for depth in range(len(parts) + 1))


def _inside_zip(url: str, storage_options: Mapping[str, Any] | None) -> tuple[list[Scene], list[Refusal]]:
    try:
        folder = open_zip(url, storage_options)
    except SceneError as error:
        return [], [Refusal(url, dict.fromkeys(READERS, str(error)))]
    try:
        candidates = [name for name in _candidates(folder) if not name.lower().endswith(".zip")]
        if not candidates:
            reasons = {
                "sentinel2": "the zip holds no .SAFE folder",
                "planet": "the zip holds no GeoTIFF",
                "geotiff": "the zip holds no GeoTIFF",
            }
            return [], [Refusal(url, reasons)]
        return _described(folder, candidates)
    finally:
        folder.close()


def _described(folder: Folder, candidates: list[str]) -> tuple[list[Scene], list[Refusal]]:
    scenes: list[Scene] = []
    refusals = []
    taken: set[str] = set()
    for candidate in candidates:
        if candidate in taken:
            continue
        outcome = _ask_readers(folder, candidate)
        if isinstance(outcome, Refusal):
            refusals.append(outcome)
        else:
            scenes.append(outcome)
            prefix = outcome.base[len(folder.url) + 1 :]
            taken |= {child_url(prefix, name) if prefix else name for name in outcome.files}
    return scenes, refusals


def _ask_readers(folder: Folder, candidate: str) -> Scene | Refusal:
    reasons = {}
    for reader in READERS:
        if (reader == "sentinel2") == is_tiff(candidate):
            reasons[reader] = "a GeoTIFF, not a .SAFE folder" if is_tiff(candidate) else "not a GeoTIFF"
            continue
        try:
            return _DESCRIBE[reader](folder, candidate)
        except SceneError as error:
            reasons[reader] = str(error)
    return Refusal(folder.named(candidate), reasons)


def _distinct(scenes: list[Scene], refusals: list[Refusal]) -> Findings:
    """One scene a key: two partitions cannot have the same name."""
    by_key: dict[str, Scene] = {}
    for scene in sorted(scenes, key=lambda scene: (scene.product_id, scene.url, scene.files)):
        older = by_key.get(scene.key)
        by_key[scene.key] = scene
        if older is not None:
            reason = (
                f"the same acquisition {older.key} as {scene.url}, whose product name is the later one; "
                "move that away to use this"
            )
            refusals.append(Refusal(older.url, {older.reader: reason}))
    in_order = sorted(by_key.values(), key=lambda scene: scene.key)
    return Findings(tuple(in_order), tuple(sorted(refusals, key=lambda refusal: refusal.url)))
