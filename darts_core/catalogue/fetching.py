"""Bring a scene of a catalogue to this machine, asset by asset, so that `find_scenes` finds it again."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from darts_core.catalogue.found import CatalogueError
from darts_core.remote import blocks_of
from darts_core.scenes.geotiff import bands_of
from darts_core.scenes.itemfolder import ITEM, ItemFolder
from darts_core.scenes.items import plan
from darts_core.scenes.plan import Layer, Plan
from darts_core.scenes.scene import CATALOGUE_READER, Scene
from darts_core.web import PAUSE, RETRIES

_MULTIHASH = {"1220": "sha256", "1114": "sha1", "1340": "sha512", "d50110": "md5"}
"""Beginning of a multihash in hexadecimal (code and length) to the algorithm; ``file:checksum`` is one."""


def fetch(
    scene: Scene,
    folder: str | Path,
    *,
    bands: Sequence[str] | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Path:
    """Copy the assets that reading needs into a folder of the scene's name; what is there already is kept.

    Each asset appears whole or not at all: it is checked by its size, and by ``file:checksum`` where the Item has one.
    The Item is written last, with hrefs beside it and with scales, offsets and nodata as this reader understands
    them, so that `find_scenes` finds the scene under the same key.

    Args:
        scene: of a STAC catalogue.
        folder: where the scene's folder is made.
        bands: common names; None fetches blue, green, red and nir. All must lie on one grid to be read together.
        storage_options: keyword arguments of the fsspec filesystem of s3 hrefs.

    Returns:
        The scene's folder.

    Raises:
        CatalogueError: not of a STAC catalogue, a copy that does not come whole, or no folder can be made there.
        SceneError: the Item or an asset is gone, or an href is not to be followed.
    """
    if scene.reader != CATALOGUE_READER:
        raise CatalogueError(f"{scene.url} is a file already ({scene.reader}); only scenes of a STAC API are fetched")
    source = ItemFolder.open(scene.url, scene.files, storage_options)
    chosen = plan(source, scene, None, bands)
    home = Path(folder) / scene.key
    item = source.read_json(ITEM)
    try:
        home.mkdir(parents=True, exist_ok=True)
        for key in sorted(chosen.files):
            checksum = item["assets"][key].get("file:checksum")
            _copy(source.named(key), home / f"{key}.tif", source.entries[key].size, checksum, storage_options)
        _write(home / f"{scene.key}.json", json.dumps(_local_item(item, chosen), indent=1).encode())
    except OSError as error:
        raise CatalogueError(f"{scene.url} cannot be fetched to {home}: {error}. Run it again") from error
    return home


def _copy(url: str, target: Path, size: int, checksum: object, options: Mapping[str, Any] | None) -> None:
    """One file, again where it comes cut off."""
    if target.is_file() and target.stat().st_size == size:
        return
    for attempt in range(RETRIES + 1):
        with tempfile.NamedTemporaryFile(dir=target.parent, suffix=".part", delete=False) as file:
            try:
                digest = _algorithm(checksum)
                received = _download(url, file, digest, options)
                fault = _fault(received, size, digest, checksum)
            except OSError as error:
                fault = f"{type(error).__name__}: {error}"
            except BaseException:
                os.unlink(file.name)
                raise
        if fault is None:
            os.replace(file.name, target)
            return
        os.unlink(file.name)
        if attempt < RETRIES:
            time.sleep(PAUSE * 2**attempt)
    raise CatalogueError(f"{url}: {fault}, {RETRIES + 1} times. Run it again later")


def _download(url: str, file: Any, digest: Any, options: Mapping[str, Any] | None) -> int:
    received = 0
    for block in blocks_of(url, options):
        file.write(block)
        received += len(block)
        if digest is not None:
            digest.update(block)
    return received


def _algorithm(checksum: object) -> Any:
    text = str(checksum or "").lower()
    name = next((name for start, name in _MULTIHASH.items() if text.startswith(start)), None)
    return hashlib.new(name, usedforsecurity=False) if name else None


def _fault(received: int, size: int, digest: Any, checksum: object) -> str | None:
    if received != size:
        return f"received {received} of {size} bytes"
    if digest is not None and not str(checksum).lower().endswith(digest.hexdigest()):
        return f"its checksum is {digest.hexdigest()}, expected {checksum}"
    return None


def _local_item(item: Mapping[str, Any], chosen: Plan) -> dict[str, Any]:
    layers = {(layer.file, layer.band): layer for layer in chosen.layers}
    assets: dict[str, Any] = {}
    for key in sorted({layer.file for layer in chosen.layers}):
        count = len(bands_of(item["assets"][key], key, str(item.get("id"))))
        described = [_band(layers.get((key, number)), f"{key}-{number}") for number in range(1, count + 1)]
        assets[key] = {"href": f"./{key}.tif", "type": "image/tiff", "roles": ["data"], "bands": described}
    for quality in chosen.quality:
        described = [{"name": quality.name}]
        assets[quality.file] = {"href": f"./{quality.file}.tif", "type": "image/tiff", "bands": described}
    kept = {name: item.get(name) for name in ("type", "id", "geometry", "bbox", "collection") if name in item}
    return {
        **kept,
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "properties": {**item["properties"], "processing:level": chosen.processing_level},
        "links": [],
        "assets": assets,
    }


def _band(layer: Layer | None, otherwise: str) -> dict[str, Any]:
    if layer is None:
        return {"name": otherwise}
    stated = {"nodata": layer.nodata, "raster:scale": layer.scale, "raster:offset": layer.offset}
    return {
        "name": layer.name,
        "eo:common_name": layer.name,
        **{name: value for name, value in stated.items() if value is not None},
    }


def _write(path: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
        file.write(content)
    os.replace(file.name, path)
