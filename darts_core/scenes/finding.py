"""Find scenes: which reader takes each candidate, and why the others are refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from darts_core.scenes import geotiff, landsat, planet, sentinel2
from darts_core.scenes.folders import Folder, child_url
from darts_core.scenes.opening import filesystem, open_archive, open_tree
from darts_core.scenes.scene import (
    READERS,
    Findings,
    Refusal,
    Scene,
    SceneError,
    Unreachable,
    is_archive,
    is_tiff,
)

LOOKED_FOR = ".SAFE folders, Landsat products (…_MTL.json, .xml, .txt), .zip and .tar files, and GeoTIFFs (.tif, .tiff)"

_TAKES: Mapping[str, str] = MappingProxyType(
    {"sentinel2": ".SAFE folder", "landsat": "Landsat MTL", "planet": "GeoTIFF", "geotiff": "GeoTIFF"}
)
"""Reader to what a candidate must be that it is asked about."""

_SAFE = re.compile(r"^(?:.*?/)?[^/]+\.SAFE(?=/)", re.IGNORECASE)

_DESCRIBE: Mapping[str, Callable[[Folder, str], Scene]] = MappingProxyType(
    {
        "sentinel2": sentinel2.describe,
        "landsat": landsat.describe,
        "planet": planet.describe,
        "geotiff": geotiff.describe,
    }
)


def find_scenes(url: str, storage_options: Mapping[str, Any] | None = None) -> Findings:
    """Every scene at or under `url`, at the cost of a listing and of reading small metadata files.

    Args:
        url: a folder or object-store prefix, which is searched recursively, or one scene: a .SAFE folder, a folder of
            a Landsat product, a zip or tar, a GeoTIFF.
        storage_options: keyword arguments of the fsspec filesystem, such as ``endpoint_url``.

    Returns:
        The scenes, sorted by key, and a refusal for each candidate that no reader takes. Of two products of the same
        acquisition (two levels, two baselines) the later one in the order of product names is the scene.

    Raises:
        SceneError: nothing there, nothing that could be a scene, or an object store that does not answer.
    """
    fs, url = filesystem(url, storage_options)
    _reach(fs, url)
    if is_archive(url) and fs.isfile(url):
        return _distinct(*_inside_archive(url, storage_options))
    if is_tiff(url) and fs.isfile(url):
        home, _, name = url.rpartition("/")
        folder, candidates = open_tree(home, storage_options, deep=False), [name]
    else:
        folder = open_tree(url, storage_options)
        candidates = list(_candidates(folder))
    if not candidates:
        _nothing(folder, isinstance(fs, LocalFileSystem) and not fs.exists(url))
    scenes, refusals = [], []
    for candidate in filter(is_archive, candidates):
        found, refused = _inside_archive(child_url(url, candidate), storage_options)
        scenes += found
        refusals += refused
    found, refused = _described(folder, [name for name in candidates if not is_archive(name)])
    return _distinct(scenes + found, refusals + refused)


def describe_in(folder: Folder, candidates: list[str]) -> Findings:
    """The scenes that some candidates of a folder (GeoTIFFs, MTLs, names of .SAFE folders) are, and the refusals."""
    return _distinct(*_described(folder, candidates))


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
        raise Unreachable(
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
    """Folders of .SAFE products, by name or by their metadata, Landsat's MTLs, and the rest: archives and GeoTIFFs."""
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
    of_landsat = landsat.documents(outside)
    yield from of_landsat.values()
    for name in outside:
        inside = landsat.product_of(name) in of_landsat or any(parent in products for parent in _parents(name))
        if not inside and (is_archive(name) or (is_tiff(name) and not planet.is_companion(name))):
            yield name


def _parents(name: str) -> Iterator[str]:
    parts = name.split("/")[:-1]
    return ("/".join(parts[:depth]) for depth in range(len(parts) + 1))


def _inside_archive(url: str, storage_options: Mapping[str, Any] | None) -> tuple[list[Scene], list[Refusal]]:
    try:
        folder = open_archive(url, storage_options)
    except SceneError as error:
        return [], [Refusal(url, dict.fromkeys(READERS, str(error)))]
    try:
        candidates = [name for name in _candidates(folder) if not is_archive(name)]
        if not candidates:
            return [], [Refusal(url, {reader: f"the archive holds no {what}" for reader, what in _TAKES.items()})]
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
    kind = "GeoTIFF" if is_tiff(candidate) else "Landsat MTL" if landsat.is_document(candidate) else ".SAFE folder"
    for reader in READERS:
        if _TAKES[reader] != kind:
            reasons[reader] = _not_asked(reader, candidate, kind)
            continue
        try:
            return _DESCRIBE[reader](folder, candidate)
        except SceneError as error:
            reasons[reader] = str(error)
    return Refusal(folder.named(candidate), reasons)


def _not_asked(reader: str, candidate: str, kind: str) -> str:
    product = landsat.product_of(candidate)
    if reader == "landsat" and product is not None:
        return f"a file of {product.rpartition('/')[2]}, whose _MTL.json, .xml or .txt is missing beside it; deliver it"
    return f"a {kind}, not a {_TAKES[reader]}"


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
