"""Super-resolution models as the engine sees them: `Upscaler`, and where it comes from."""

from __future__ import annotations

import hashlib
from dataclasses import field, fields, replace
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import ConfigDict, Field, ValidationError, field_validator
from pydantic.dataclasses import dataclass
from torch import nn

from darts_core.contracts import REFLECTANCE, VARIABLES, variable
from darts_core.grids import Grid
from darts_core.superresolution.brought import entry_point_names, made_by_entry_point, read_model
from darts_core.superresolution.facts import Precision, UpscalerError, facts_path, model_digest, read_facts
from darts_core.superresolution.interpolation import Interpolate, Interpolation
from darts_core.superresolution.reach import with_measured_reach
from darts_core.superresolution.running import forward_on as forward_on
from darts_core.superresolution.running import measured_factor

_REFLECTANCE = tuple(row.name for row in REFLECTANCE)


@dataclass(frozen=True, slots=True, config=ConfigDict(arbitrary_types_allowed=True, extra="forbid"))
class Upscaler:
    """A super-resolution model and all that the engine has to know of it. Made by `of` or `load_upscaler`.

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

    @classmethod
    def of(cls, module: nn.Module, *, device: str = "cpu", **facts: Any) -> Upscaler:
        """An upscaler of any `torch.nn.Module` or `LightningModule`; what is not said of it is measured.

        Args:
            module: see the field; its own code runs.
            device: that measures a missing factor or reach, by a few predictions.
            facts: the fields of this class; `bands` at least. The digest is made of code name, layers and weights.

        Raises:
            UpscalerError: a fact is missing that cannot be measured, or one that the module contradicts.
        """
        name = facts.setdefault("name", type(module).__name__)
        if not facts.get("bands"):
            raise UpscalerError(
                f"{name} does not say which bands it takes, which cannot be measured; "
                f"expected as in bands = {list(_REFLECTANCE)}, in the order of its input"
            )
        known = {"factor": 1, "reach": None, "digest": "", **facts}
        try:
            upscaler = cls(module=module, **known)
            if "factor" not in facts:
                upscaler = replace(upscaler, factor=measured_factor(upscaler, device))
            if "digest" not in facts:
                upscaler = replace(upscaler, digest=_digest(upscaler))
        except ValidationError as error:
            raise UpscalerError(f"What is said of {name} does not fit: {_problems(error)}") from error
        # windows of a stochastic model differ by their random numbers, however far they look
        if "reach" in facts or upscaler.stochastic:
            return upscaler
        return with_measured_reach(upscaler, device)


def _problems(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())


def _digest(upscaler: Upscaler) -> str:
    """Of code name, layers, weights and what else decides the result; sha256 in hexadecimal digits."""
    kind = type(upscaler.module)
    said = (upscaler.factor, upscaler.bands, upscaler.bands_out, upscaler.precision, sorted(upscaler.options.items()))
    digest = hashlib.sha256(f"{kind.__module__}.{kind.__qualname__} {upscaler.module!r} {said!r}".encode())
    for name, value in upscaler.module.state_dict().items():
        if isinstance(value, torch.Tensor):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def interpolation(
    kind: Interpolation, factor: int = 4, bands: tuple[str, ...] = _REFLECTANCE, **facts: Any
) -> Upscaler:
    """An upscaler that needs no training: nearest, bilinear or bicubic; other fields of `Upscaler` as `facts`."""
    known = {
        "reach": kind.reach,
        "name": kind.value,
        "digest": hashlib.sha256(f"{kind.value} x{factor}".encode()).hexdigest(),
    }
    return Upscaler.of(Interpolate(kind, factor).eval(), factor=factor, bands=bands, **{**known, **facts})


def load_upscaler(source: str | Path, *, device: str = "cpu", **overrides: Any) -> Upscaler:
    """An upscaler by name, or from a file.

    | `source` | what it needs of trust |
    | --- | --- |
    | `nearest`, `bilinear`, `bicubic` | none |
    | a checkpoint of `save_upscaler` | none: plain tensors; no code of the file is run |
    | a TorchScript file | as a program: its code runs, in torch's own interpreter and not as Python |
    | a `torch.export` file (`.pt2`) | as a program: its graph runs in torch; pickles and machine code are refused |
    | an entry point of the group `darts_assets.upscalers` | as any installed package: its Python runs |

    An entry point names a callable without arguments that returns a module or an `Upscaler`. What a file does not
    say itself stands beside it in `<file>.toml`: the fields of `Upscaler`, `bands` at least where the file is not a
    checkpoint of ours. A missing factor or reach is measured.

    Args:
        device: that measures.
        overrides: fields of `Upscaler` that count before what the source says.

    Raises:
        WeightsError: a file that is none of these.
        UpscalerError: no such source, or one that is not what it should be.
    """
    name, path = str(source), Path(source)
    if name in set(Interpolation):
        return interpolation(Interpolation(name), **overrides)
    if path.is_file():
        return _from_file(path, device, overrides)
    if name in (known := entry_point_names()):
        made = made_by_entry_point(name)
        if isinstance(made, Upscaler):
            return replace(made, **overrides)
        if isinstance(made, nn.Module):
            return Upscaler.of(made, device=device, **{"name": name, **overrides})
        raise UpscalerError(
            f"The entry point {name} returned {type(made).__name__}; expected a torch.nn.Module, a LightningModule or "
            "an Upscaler"
        )
    raise UpscalerError(
        f"{source} is neither a model file nor one of the upscalers {', '.join([*Interpolation, *known])}"
    )


def _from_file(path: Path, device: str, overrides: dict[str, Any]) -> Upscaler:
    said = read_facts(path)
    allowed = {one.name for one in fields(Upscaler)} - {"module", "digest", "seams"}
    if unknown := sorted(said.keys() - allowed):
        raise UpscalerError(f"{facts_path(path)} says {', '.join(unknown)}; expected of {', '.join(sorted(allowed))}")
    module, known = read_model(path)
    facts = {"name": path.stem, **known, **said, **overrides}
    if "bands" not in facts:
        raise UpscalerError(
            f"{path} does not say which bands it takes. Write {facts_path(path)} beside it, with "
            f"bands = {list(_REFLECTANCE)} in the order of its input, and what else is known of the model: "
            "factor, resolution, reach, precision, …"
        )
    return Upscaler.of(module, device=device, digest=model_digest(path), **facts)


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
