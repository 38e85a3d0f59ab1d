"""The scenes of a folder, for those who want to super-resolve all of them."""

from __future__ import annotations

from pathlib import Path

from darts_core.scenes.bare import common_name
from darts_core.scenes.finding import find_scenes
from darts_core.scenes.opening import filesystem
from darts_core.scenes.scene import SceneError


def find_inputs(url: str) -> list[str]:
    """What `open_input` can be asked for one by one: `url` itself, or the scenes in the folder `url` and below it.

    In a folder these are products and GeoTIFFs, described or not; one file a band, as in a Sentinel-2 Global Mosaic,
    makes the folder that holds them one scene. Also what looks like a scene and is damaged: opening it says why.

    Raises:
        SceneError: nothing of this name.
    """
    fs, path = filesystem(url, None)
    if not fs.exists(path):
        raise SceneError(f"{url} does not exist; name a scene, or a folder of scenes")
    if not fs.isdir(path) or path.lower().endswith(".safe"):
        return [path]
    try:
        found = find_scenes(path)
    except SceneError:
        return [path]
    urls = [scene.url for scene in found.scenes]
    for refusal in found.refusals:
        folder, _, name = refusal.url.rpartition("/")
        urls.append(folder if common_name(Path(name).stem) else refusal.url)
    return sorted(dict.fromkeys(urls))
