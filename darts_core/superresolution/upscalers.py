"""Where upscalers come from: any module of torch, a built-in interpolation, a file, or an installed package."""

from __future__ import annotations

import hashlib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from darts_core.contracts import REFLECTANCE
from darts_core.superresolution.brought import entry_point_names, made_by_entry_point, read_model
from darts_core.superresolution.facts import UpscalerError, facts_path, model_digest, read_facts
from darts_core.superresolution.interpolation import Interpolate, Interpolation
from darts_core.superresolution.reach import with_measured_reach
from darts_core.superresolution.running import measured_factor
from darts_core.superresolution.upscaler import Upscaler

_REFLECTANCE = tuple(row.name for row in REFLECTANCE)


def upscaler_of(module: nn.Module, *, device: str = "cpu", **facts: Any) -> Upscaler:
    """An upscaler of any `torch.nn.Module` or `LightningModule`; what is not said of it is measured.

    Args:
        module: see the field of `Upscaler`; its own code runs.
        device: that measures a missing factor or reach, by a few predictions.
        facts: the fields of `Upscaler`; `bands` at least. The digest is made of code name, layers and weights.

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
        upscaler = Upscaler(module=module, **known)
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
    return upscaler_of(Interpolate(kind, factor).eval(), factor=factor, bands=bands, **{**known, **facts})


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
            return upscaler_of(made, device=device, **{"name": name, **overrides})
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
    return upscaler_of(module, device=device, digest=model_digest(path), **facts)
