"""A super-resolution model as the engine sees it."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any

from pydantic import ConfigDict, Field, field_validator
from pydantic.dataclasses import dataclass
from torch import nn

from darts_core.contracts import VARIABLES, variable
from darts_core.grids import Grid
from darts_core.superresolution.facts import Precision, UpscalerError


@dataclass(frozen=True, slots=True, config=ConfigDict(arbitrary_types_allowed=True, extra="forbid"))
class Upscaler:
    """A super-resolution model and all that the engine has to know of it. Made by `upscaler_of` or `load_upscaler`.

    Raises:
        UpscalerError: bands that no product has.
    """

    module: nn.Module
    """From reflectance float32 (batch, bands, y, x) without NaN to (batch, bands out, y * factor, x * factor)."""
    factor: Annotated[int, Field(ge=1)]
    """Pixels of the result along one pixel of the input."""
    bands: Annotated[tuple[str, ...], Field(min_length=1)]
    """Variables of the preprocessed scene, in the order of the input."""
    reach: Annotated[int, Field(ge=0)] | None
    """How far, in pixels of the input, a pixel of the result looks; None where windows never join without a seam."""
    name: str
    digest: str
    """Identity of weights, code and facts."""
    bands_out: Annotated[tuple[str, ...], Field(validate_default=True)] = ()
    """Variables of `super_resolved`, in the order of the result; those of `bands` where not given."""
    resolution: Annotated[float, Field(gt=0)] | None = None
    """Metres of the input pixel that the model was made for; None = any."""
    window: Annotated[int, Field(ge=8)] | None = None
    """Pixels a side of the only windows that the model takes; None = any."""
    batch: Annotated[int, Field(ge=1)] = 8
    """Windows that go through an accelerator at once."""
    precision: Precision = Precision.FLOAT32
    options: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the module."""
    stochastic: bool = False
    """Whether the module draws random numbers; the engine then seeds it for each window."""
    seams: tuple[float, ...] = ()
    """What `measure_seams` found, where the reach was measured."""

    @field_validator("bands_out", mode="before")
    @classmethod
    def _as_in(cls, value: Any, info: Any) -> Any:
        return value or info.data.get("bands", ())

    @field_validator("bands", "bands_out")
    @classmethod
    def _known(cls, value: tuple[str, ...], info: Any) -> tuple[str, ...]:
        out = info.field_name == "bands_out"
        unknown = [name for name in value if (variable("super_resolved", name) if out else VARIABLES.get(name)) is None]
        if unknown or len(set(value)) < len(value):
            where = "super_resolved" if out else "preprocessed"
            raise UpscalerError(
                f"{info.field_name} = {list(value)}: expected variables of the product {where!r}, each once"
                + (f"; it has no {', '.join(unknown)}" if unknown else "")
            )
        return value


def require_fit(upscaler: Upscaler, grid: Grid, window: tuple[int, int]) -> None:
    """Check a model against a scene before any work.

    Args:
        grid: of the scene; its pixels may differ by 5 % from what the model was made for.
        window: rows and columns of the windows, as planned: a small scene makes them smaller.

    Raises:
        UpscalerError: pixels or windows of another size.
    """
    made_for = upscaler.resolution
    if made_for is not None and abs(max(grid.metres()) / made_for - 1) > 0.05:
        raise UpscalerError(
            f"{upscaler.name} was made for pixels of {made_for:g} m; the scene has {max(grid.metres()):g} m. Choose "
            "another model, or leave its resolution out where it does well at any"
        )
    if upscaler.window is not None and window != (upscaler.window, upscaler.window):
        raise UpscalerError(
            f"{upscaler.name} takes windows of {upscaler.window} x {upscaler.window} pixels only; the plan has "
            f"{window[0]} x {window[1]}. Choose window = {upscaler.window}; a scene smaller than that needs a model "
            "without a fixed size"
        )
