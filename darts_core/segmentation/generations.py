"""The formats in which DARTS and its predecessor have kept models, each turned into one config and one state.

| generation | file | input |
| --- | --- | --- |
| today | `{"config": {model, bands: [...]}, "statedict"}` | valid ranges of the contract |
| with `Bands` | the same, `bands: {bands, band_factors, band_offsets}` | factors for digital numbers, clipped |
| first | `{"config": {model, input_combination, norm_factors}, "statedict"}` | divisors of digital numbers |
| Lightning | `{"hyper_parameters": {"config"}, "state_dict"}`, keys with `model.` | as its config says |
| predecessor | folder with `config.yml` and `checkpoints/NN.pt`, keys maybe with `module.` | divisors |
| ours | as the first, with `normalization` instead of `norm_factors` | what it says |
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from darts_core.contracts import VARIABLES
from darts_core.inference.normalization import DIVISORS, Normalization, NormalizationError
from darts_core.inference.weights import WeightsError, first_line, load_tensors
from darts_core.segmentation.finding import RUN_CONFIG, run_weights

SOURCES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "ndvi": ("ndvi",),
        "planet": ("blue", "green", "red", "nir"),
        "relative_elevation": ("relative_elevation",),
        "slope": ("slope",),
        "tcvis": ("tc_brightness", "tc_greenness", "tc_wetness"),
    }
)
"""The predecessor's data sources and their bands; its models take them sorted by name."""

OLD_NAMES: Mapping[str, str] = MappingProxyType(
    {"brightness": "tc_brightness", "greenness": "tc_greenness", "wetness": "tc_wetness", "near_infrared": "nir"}
)
"""Names of bands that older data had, by the contract's."""

WRAPPERS = ("module.", "_orig_mod.")
"""What data-parallel and compiled training put before the names of weights."""


class CheckpointError(WeightsError):
    """A file that is not a checkpoint, or one that cannot be made a model of."""


def read_generation(path: Path) -> dict[str, Any]:
    """`{"config", "statedict"}` of a checkpoint of any generation, as `Checkpoint` takes it.

    Raises:
        WeightsError: nothing there, or not plain tensors and plain values.
        CheckpointNotFound: a folder without weights.
        CheckpointError: no known generation, bands that no product has, or factors that make no input of them.
    """
    try:
        config, state = _predecessor(path) if path.is_dir() else _file(load_tensors(path), path)
        return {"config": _with_normalization(config), "statedict": unwrapped(state)}
    except NormalizationError as error:
        raise CheckpointError(f"{path} says how its input is normalised, but: {error}") from error
    except _Departure as error:
        raise CheckpointError(f"{path} departs from the checkpoint format: {error}") from error


class _Departure(Exception):
    """What is wrong, in words; the path comes with the error that is raised of it."""


def _file(content: Any, path: Path) -> tuple[dict[str, Any], Any]:
    if isinstance(content, Mapping) and "hyper_parameters" in content:
        config = _mapping(content["hyper_parameters"], "hyper_parameters").get("config")
        state = _mapping(content.get("state_dict"), "state_dict")
        # metrics and losses of the training lie beside the model
        inner = {name.removeprefix("model."): one for name, one in state.items() if name.startswith("model.")}
        return dict(_mapping(config, "hyper_parameters.config")), inner
    if isinstance(content, Mapping) and "config" in content:
        return dict(_mapping(content["config"], "config")), content.get("statedict")
    received = f"the keys {', '.join(map(str, content))[:200]}" if isinstance(content, Mapping) else repr(type(content))
    raise _Departure(
        f'expected {{"config", "statedict"}} or {{"hyper_parameters", "state_dict"}}, received {received}. Bare '
        f"weights do not say which model they are of: put them into a folder as checkpoints/01.pt beside {RUN_CONFIG}"
    )


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _Departure(f"{what} should be a mapping; received {type(value).__name__}")
    return value


def unwrapped(state: Any) -> Any:
    """Weights without the prefixes that a wrapper of the model put before all of their names."""
    if not isinstance(state, Mapping):
        return state
    for prefix in WRAPPERS:
        if state and all(str(name).startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): one for name, one in state.items()}
    return {name: one for name, one in state.items() if isinstance(one, torch.Tensor)}


def _with_normalization(config: dict[str, Any]) -> dict[str, Any]:
    """A config of any generation with `input_combination` in contract names and `normalization`."""
    config = dict(config)
    described = config.pop("bands", None)
    factors: Any = config.pop("norm_factors", None)
    names = described if described is not None else config.get("input_combination")
    if isinstance(names, Mapping):
        names = names.get("bands")
    if not isinstance(names, list | tuple) or not names:
        raise _Departure("config names no bands; expected a list `bands` or `input_combination`")
    # whoever says how the input is normalised speaks today's language, in which SAVI is not savi
    ours = config.get("normalization") is not None
    bands = [str(name) if ours else contract_name(str(name)) for name in names]
    unknown = [band for band in bands if band not in VARIABLES]
    if unknown:
        raise _Departure(f"it wants the bands {', '.join(unknown)}, which no product of this platform has")
    if factors is not None:
        factors = {contract_name(str(name)): factor for name, factor in _mapping(factors, "norm_factors").items()}
        config["normalization"] = Normalization.divisors(bands, factors)
    elif isinstance(described, Mapping) and "band_factors" in described:
        offsets = described.get("band_offsets", [0.0] * len(bands))
        config["normalization"] = Normalization.factors(bands, described["band_factors"], offsets)
    elif config.get("normalization") is None:
        config["normalization"] = Normalization.contract(bands)
    return {**config, "input_combination": bands}


def contract_name(band: str) -> str:
    """The contract's name of a band as older data spell it."""
    plain = band.lower().replace("-", "_")
    known = OLD_NAMES.get(plain, plain)
    # an index of the catalogue is named in capital letters
    return known if known in list(VARIABLES) else band


def _predecessor(folder: Path) -> tuple[dict[str, Any], Any]:
    """Config and weights of a training run of thaw-slump-segmentation."""
    import yaml

    weights = run_weights(folder)
    try:
        written = yaml.safe_load((folder / RUN_CONFIG).read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _Departure(f"{RUN_CONFIG} cannot be read: {first_line(error)}") from error
    written = _mapping(written, RUN_CONFIG)
    model = _mapping(written.get("model"), f"model in {RUN_CONFIG}")
    sources = written.get("data_sources") or list(SOURCES)
    unknown = [str(source) for source in sources if source not in SOURCES]
    if unknown:
        # sources with capital letters belong to later data, whose elevations are scaled in another way
        raise _Departure(f"data_sources has {', '.join(unknown)}; expected of {', '.join(SOURCES)}")
    bands = [band for source in sorted(sources) for band in SOURCES[source]]
    config = {
        "model": {
            "arch": model.get("architecture", "Unet"),
            "encoder_name": model.get("encoder", "resnet34"),
            "in_channels": model.get("input_channels", len(bands)),
            "classes": 1,
        },
        "input_combination": bands,
        "norm_factors": {band: DIVISORS[band] for band in bands},
    }
    return config, load_tensors(weights)
