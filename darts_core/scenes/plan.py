"""What a reader decides about a scene before a raster is opened: which band of which file is what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from darts_core.scenes.scene import Scene, SceneError

CORE_BANDS = ("blue", "green", "red", "nir")
"""What the platform works on; a scene without one of them is no scene for it."""

QUALITY_LAYERS: Mapping[str, str] = MappingProxyType(
    {
        "scl": "uint8",
        "udm": "uint8",
        "udm2": "uint8",
        "qa_pixel": "uint16",
        "observations": "uint16",
        "cloud_probability": "uint8",
        "snow_probability": "uint8",
    }
)
"""Every kind of quality layer and its dtype; `darts_core.scenes.quality` says what their numbers mean."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One reflectance band of a file."""

    name: str
    """Common name: the variable it becomes."""
    file: str
    """Relative to the scene's base."""
    long_name: str
    band: int = 1
    """Of the file, from 1."""
    scale: float | None = None
    """reflectance = number * scale + offset; None leaves it to the file, which must say so if it holds integers."""
    offset: float | None = None
    nodata: float | None = None
    """None leaves it to the file."""
    default_nodata: float | None = None
    """Where neither `nodata` nor the file says, and the file's dtype can hold it."""
    default_scale: float | None = None
    """Of integers wider than a byte, where neither `scale` nor the file says."""


@dataclass(frozen=True, slots=True)
class QualityLayer:
    """A classification delivered with the scene."""

    name: str
    """One of `QUALITY_LAYERS`: the variable it becomes."""
    file: str
    bands: tuple[int, ...] = (1,)
    """Of the file, from 1; more than one give the axis ``<name>_band``."""
    long_name: str = ""
    on_request: bool = False
    """Whether it is read only where it is asked for by its name."""

    @property
    def dtype(self) -> str:
        """What it is read as; a number that this cannot hold is an error."""
        return QUALITY_LAYERS[self.name]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that reading a scene needs to know."""

    layers: tuple[Layer, ...]
    quality: tuple[QualityLayer, ...] = ()
    """All that are there to be read."""
    processing_level: str = "unknown"
    file_bands: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The bands that each file is known to have, in order; a file with another number of them is not the file."""
    properties: Mapping[str, Any] = field(default_factory=dict)
    """Further properties of the STAC Item."""

    @property
    def files(self) -> set[str]:
        """Every file that is read."""
        return {layer.file for layer in self.layers} | {layer.file for layer in self.quality}


def choose(scene: Scene, available: Sequence[Layer], bands: Sequence[str] | None) -> tuple[Layer, ...]:
    """The layers of `bands`, or all that are available where None; the latter must hold the core bands.

    Raises:
        SceneError: bands that the scene lacks, all named at once.
    """
    by_name = {layer.name: layer for layer in available}
    missing = [name for name in (CORE_BANDS if bands is None else bands) if name not in by_name]
    if missing:
        raise SceneError(
            f"{scene.url}: expected the bands {', '.join(CORE_BANDS if bands is None else bands)}; "
            f"{', '.join(missing)} missing. The scene has {', '.join(by_name) or 'none'}"
        )
    return tuple(available) if bands is None else tuple(by_name[name] for name in dict.fromkeys(bands))


def choose_quality(
    scene: Scene, available: Sequence[QualityLayer], wanted: Sequence[str] | None
) -> tuple[QualityLayer, ...]:
    """The quality layers of these names, or those that are always read where None.

    Raises:
        SceneError: layers that the scene lacks, all named at once.
    """
    if wanted is None:
        return tuple(layer for layer in available if not layer.on_request)
    by_name = {layer.name: layer for layer in available}
    missing = [name for name in wanted if name not in by_name]
    if missing:
        raise SceneError(
            f"{scene.url}: expected the quality layers {', '.join(wanted)}; {', '.join(missing)} missing. "
            f"The scene has {', '.join(by_name) or 'none'}"
        )
    return tuple(by_name[name] for name in dict.fromkeys(wanted))
