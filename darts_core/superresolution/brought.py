"""Models that others bring: TorchScript and torch.export files, and entry points of installed packages."""

from __future__ import annotations

import io
import json
import re
import zipfile
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import torch
from torch import nn

from darts_core.inference.weights import first_line
from darts_core.superresolution.facts import ENTRY_POINTS, UpscalerError
from darts_core.superresolution.small import read_checkpoint


def read_model(path: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The module of a file in evaluation mode on the CPU, and what the file itself says, by field of `Upscaler`.

    Raises:
        WeightsError: not a file of a model.
        UpscalerError: a model that cannot be used.
    """
    parts = _parts(path)
    if "archive_format" in parts:
        return _read_export(path)
    if "constants.pkl" in parts:
        return _read_torchscript(path), {}
    model, config = read_checkpoint(path)
    known = {"factor": config.factor, "bands": config.bands, "reach": model.reach, "name": config.name}
    return model.eval(), known


def _parts(path: Path) -> set[str]:
    """Names in the archive that torch writes, without its root folder; none where the file is no archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.partition("/")[2] for name in archive.namelist()}
    except zipfile.BadZipFile:
        return set()


def _read_torchscript(path: Path) -> nn.Module:
    try:
        return torch.jit.load(path, map_location="cpu").eval()
    except Exception as error:
        raise UpscalerError(f"{path} cannot be loaded as TorchScript: {first_line(error)}") from error


class Exported(nn.Module):
    """A torch.export program as a module; `on` brings it to a device, with the constants of its graph."""

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        super().__init__()
        self.program = program
        # not a submodule: an exported graph is in evaluation mode for good, and refuses eval()
        self.run = program.module().__call__
        first = program.graph_signature.user_inputs[0]
        (node,) = (node for node in program.graph.nodes if node.name == first)
        self.shape = tuple(size if isinstance(size, int) else None for size in node.meta["val"].shape)
        """Of the input (batch, bands, y, x); None where any size goes."""

    def on(self, device: torch.device) -> Exported:
        from torch.export.passes import move_to_device_pass

        return Exported(move_to_device_pass(self.program, str(device)))

    def forward(self, x: torch.Tensor, **options: Any) -> torch.Tensor:
        if self.shape[0] == 1 and len(x) > 1:
            return torch.cat([self.run(one, **options) for one in x.split(1)])
        return self.run(x, **options)


def _read_export(path: Path) -> tuple[nn.Module, dict[str, Any]]:
    try:
        refused = _code_in(path)
        # an open file, for torch warns of names that do not end on .pt2
        with path.open("rb") as file:
            module = None if refused else Exported(torch.export.load(file))
        batch, _, height, width = module.shape if module else (None,) * 4
    except Exception as error:
        raise UpscalerError(
            f"{path} cannot be loaded as a torch.export program of an image (batch, bands, y, x): {first_line(error)}"
        ) from error
    if module is None:
        raise UpscalerError(
            f"{path} holds parts that would run code when they are read: {', '.join(refused)}. Export the model with "
            "plain tensors as weights and sample inputs, not compiled"
        )
    if batch not in (None, 1) or height != width:
        raise UpscalerError(
            f"{path} takes inputs of the shape {list(module.shape)}, with None for any size; expected a batch of any "
            "size or 1, and height and width both of any size or the same. Export it again with dynamic_shapes"
        )
    return module, {} if height is None else {"window": height}


def _code_in(path: Path) -> list[str]:
    """Parts of an archive that torch.export.load would unpickle, or run as machine code."""
    with zipfile.ZipFile(path) as archive:
        return [name for name in archive.namelist() if _runs_code(archive, name)]


def _runs_code(archive: zipfile.ZipFile, name: str) -> bool:
    part = name.partition("/")[2]
    if part.startswith("data/sample_inputs/"):
        return not _is_plain(archive.read(name))
    if re.fullmatch(r"data/(weights|constants)/.*config\.json", part):
        payloads = json.loads(archive.read(name))["config"].values()
        return any(one["use_pickle"] or not re.match(r"(weight|tensor)_", one["path_name"]) for one in payloads)
    return bool(re.fullmatch(r"data/(aotinductor/.*|(weights|constants)/.*\.pt)", part))


def _is_plain(content: bytes) -> bool:
    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except Exception:
        return not content
    return True


def entry_point_names() -> list[str]:
    """Upscalers that installed packages offer."""
    return sorted(entry_points(group=ENTRY_POINTS).names)


def made_by_entry_point(name: str) -> Any:
    """What the callable behind an entry point returns.

    Raises:
        UpscalerError: it fails, or two packages use its name.
    """
    entry, *others = entry_points(group=ENTRY_POINTS, name=name)
    if others:
        both = ", ".join(one.value for one in (entry, *others))
        raise UpscalerError(f"Several packages offer an upscaler {name}: {both}; uninstall all but one")
    try:
        return entry.load()()
    except Exception as error:
        raise UpscalerError(
            f"The entry point {name} = {entry.value} of {ENTRY_POINTS} failed: {first_line(error)}"
        ) from error
