"""Scenes in: what was delivered, found, described and read as it is, without an opinion on what follows.

`find_scenes` says what lies under a folder or prefix, `read_scene` opens one of them lazily, `scene_digest` names what
was delivered. Nothing heavy is imported before a scene is read.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from darts_core.scenes.scene import Findings, Refusal, Scene, SceneError

if TYPE_CHECKING:
    from darts_core.scenes.digest import scene_digest
    from darts_core.scenes.finding import find_scenes
    from darts_core.scenes.reading import read_scene

__all__ = ["Findings", "Refusal", "Scene", "SceneError", "find_scenes", "read_scene", "scene_digest"]

_HOMES = {"find_scenes": "finding", "read_scene": "reading", "scene_digest": "digest"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
