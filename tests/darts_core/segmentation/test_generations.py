"""One model, kept in the format of each generation of DARTS and of its predecessor."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from darts_core.contracts import VARIABLES, conform
from darts_core.inference.normalization import DIVISORS, Normalization, NormalizationError, Scheme
from darts_core.inference.weights import WeightsError
from darts_core.segmentation.checkpoint import (
    CheckpointConfig,
    CheckpointError,
    build_model,
    load_checkpoint,
    save_checkpoint,
)
from darts_core.segmentation.finding import CheckpointNotFound, checkpoint_digest, is_checkpoint
from darts_core.segmentation.generations import SOURCES
from darts_core.segmentation.segmenter import Segmenter

BANDS = [band for source in sorted(SOURCES) for band in SOURCES[source]]
MODEL = {"arch": "Unet", "encoder_name": "mobilenet_v2", "encoder_weights": "imagenet", "in_channels": 10, "classes": 1}
MODEL |= {"encoder_depth": 3, "decoder_channels": [8, 8, 8]}
RUN = {"architecture": "Unet", "encoder": "resnet18", "encoder_weights": "random", "input_channels": 10}


class Bands(list):
    """As DARTS's own class: a list that is kept as a call of `dict`."""

    def __reduce__(self):
        return dict, ({"bands": list(self), "band_factors": FACTORS, "band_offsets": OFFSETS},)


FACTORS = [1 / DIVISORS[band] for band in BANDS]
OFFSETS = [0.0] * len(BANDS)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    made = build_model(CheckpointConfig(model=MODEL, input_combination=BANDS), "the test")
    # statistics of batch norm that a training would leave
    made.train()(torch.rand(4, 10, 64, 64))
    return made.eval()


def kept(generation, network, folder):
    path, state = folder / f"{generation}.pt", network.state_dict()
    contents = {
        "bands": {"config": {"model": MODEL, "bands": BANDS}, "statedict": state},
        "bands_class": {"config": {"model": MODEL, "bands": Bands(BANDS)}, "statedict": state},
        "bands_dict": {"config": {"model": MODEL, "bands": {"bands": BANDS}}, "statedict": state},
        "multipliers": {
            "config": {
                "model": MODEL,
                "input_combination": BANDS,
                "norm_factors": dict(zip(BANDS, FACTORS, strict=True)),
            },
            "statedict": state,
        },
        "divisors": {
            "config": {"model": MODEL, "input_combination": BANDS, "norm_factors": dict(DIVISORS)},
            "statedict": state,
        },
        "lightning": {
            "hyper_parameters": {"config": {"model": MODEL, "bands": BANDS}, "train_data_dir": Path("/data")},
            "state_dict": {**{f"model.{name}": one for name, one in state.items()}, "loss_fn.alpha": torch.ones(1)},
            "epoch": 3,
            "pytorch-lightning_version": "2.5",
        },
        "data_parallel": {
            "config": {"model": MODEL, "bands": BANDS},
            "statedict": {f"module.{name}": one for name, one in state.items()},
        },
    }
    torch.save(contents[generation], path)
    return path


LEGACY = ("multipliers", "divisors")
EXPECTED = {"bands": Scheme.CONTRACT, "bands_class": Scheme.FACTORS, "bands_dict": Scheme.CONTRACT}
EXPECTED |= dict.fromkeys(LEGACY, Scheme.DIVISORS) | dict.fromkeys(("lightning", "data_parallel"), Scheme.CONTRACT)


@pytest.mark.parametrize("generation", EXPECTED)
def test_each_generation_is_the_same_model_on_its_own_input(generation, network, tmp_path):
    path = kept(generation, network, tmp_path)
    segmenter = Segmenter.load(path)
    assert segmenter.bands == tuple(BANDS)
    assert segmenter.config.scaling.scheme is EXPECTED[generation]
    inputs = torch.rand(1, 10, 64, 96)
    with torch.inference_mode():
        torch.testing.assert_close(segmenter.module(inputs), network(inputs), atol=1e-4, rtol=1e-4)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of the predecessor: weights of two epochs, of a model that was trained in parallel."""
    folder = tmp_path_factory.mktemp("runs") / "2022-11-21"
    (folder / "checkpoints").mkdir(parents=True)
    torch.manual_seed(4)
    model = {"arch": "Unet", "encoder_name": "resnet18", "in_channels": 10, "classes": 1}
    network = build_model(CheckpointConfig(model=model, input_combination=BANDS), "the test").eval()
    config = {"model": RUN, "data_sources": ["planet", "slope", "ndvi", "tcvis", "relative_elevation"]}
    (folder / "config.yml").write_text(yaml.safe_dump(config))
    torch.save({}, folder / "checkpoints" / "09.pt")
    state = {f"module.{name}": one for name, one in network.state_dict().items()}
    torch.save(state, folder / "checkpoints" / "10.pt")
    return folder, network


def test_a_run_of_the_predecessor_takes_its_last_epoch_and_its_bands_by_the_names_of_sources(run):
    folder, network = run
    assert is_checkpoint(folder)
    segmenter = Segmenter.load(folder)
    assert segmenter.name == "2022-11-21"
    assert segmenter.bands == tuple(BANDS)
    assert BANDS[:5] == ["ndvi", "blue", "green", "red", "nir"]
    assert segmenter.config.scaling == Normalization.divisors(BANDS)
    assert segmenter.digest == checkpoint_digest(folder)
    inputs = torch.rand(1, 10, 64, 96)
    with torch.inference_mode():
        torch.testing.assert_close(segmenter.module(inputs), network(inputs), atol=1e-4, rtol=1e-4)


def test_the_digest_of_a_run_is_that_of_what_is_taken(run, tmp_path):
    import shutil

    copy = shutil.copytree(run[0], tmp_path / "copy")
    before = checkpoint_digest(copy)
    (copy / "checkpoints" / "09.pt").unlink()
    assert checkpoint_digest(copy) == before
    (copy / "config.yml").write_text((copy / "config.yml").read_text() + "# changed\n")
    assert checkpoint_digest(copy) != before


def test_folders_that_are_no_runs_say_what_is_missing(tmp_path):
    assert not is_checkpoint(tmp_path)
    with pytest.raises(CheckpointNotFound, match=r"holds no checkpoints/NN\.pt"):
        Segmenter.load(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    torch.save({}, tmp_path / "checkpoints" / "01.pt")
    with pytest.raises(CheckpointError, match=r"config\.yml cannot be read"):
        Segmenter.load(tmp_path)
    (tmp_path / "config.yml").write_text(yaml.safe_dump({"model": RUN, "data_sources": ["PlanetScope"]}))
    with pytest.raises(CheckpointError, match="data_sources has PlanetScope; expected of ndvi, planet"):
        Segmenter.load(tmp_path)
    (tmp_path / "config.yml").write_text("model: !!python/object/apply:os.system ['echo hacked']\n")
    with pytest.raises(CheckpointError, match=r"config\.yml cannot be read: ConstructorError"):
        Segmenter.load(tmp_path)


def digital_numbers(band, value):
    """What early DARTS kept of a physical value, from its own description."""
    if band == "ndvi":
        return (value + 1) * 1e4
    if band == "relative_elevation":
        return (value + 50) * 300
    return value if band == "slope" or band.startswith("tc_") else value * 1e4


@pytest.mark.parametrize("band", BANDS)
def test_legacy_input_is_the_digital_number_over_its_divisor_and_is_not_clipped(band):
    low, high = VARIABLES[band].valid
    physical = np.linspace(low - (high - low), high + (high - low), 41, dtype=np.float32).reshape(1, 1, 41)
    divisor = {"ndvi": 20000, "relative_elevation": 30000, "slope": 90}.get(band, 255 if band[:3] == "tc_" else 3000)
    made = Normalization.divisors([band]).apply(physical)
    np.testing.assert_allclose(made, digital_numbers(band, physical) / divisor, rtol=1e-5, atol=1e-6)
    assert made.min() < 0
    assert made.max() > 1


def test_factors_and_offsets_are_applied_to_digital_numbers_and_clipped():
    physical = np.linspace(-0.2, 1.5, 50, dtype=np.float32).reshape(1, 1, 50)
    made = Normalization.factors(["red"], [2e-4], [-0.25]).apply(physical)
    np.testing.assert_allclose(made, np.clip(physical * 1e4 * 2e-4 - 0.25, 0, 1), atol=1e-6)


def test_nodata_is_0_in_every_scheme():
    nothing = np.full((1, 2, 2), np.nan, np.float32)
    for scheme in (Normalization.contract, Normalization.divisors):
        assert (scheme(["ndvi"]).apply(nothing) == 0).all()


def test_the_present_input_is_that_of_darts(golden):
    with np.load(golden / "darts" / "normalize.npz") as arrays:
        names = [name.removeprefix("in_") for name in arrays if name.startswith("in_")]
        bands = [name for name in names if name in VARIABLES]
        assert {"red", "ndvi", "relative_elevation", "slope", "tc_wetness"} <= set(bands)
        values = np.stack([arrays[f"in_{band}"].astype("f4") for band in bands])
        made = Normalization.contract(bands).apply(values)
        for band, one in zip(bands, made, strict=True):
            np.testing.assert_array_equal(one, arrays[f"out_{band}"])


def test_a_scene_is_read_with_the_input_of_the_checkpoint(network, make_scene, tmp_path):
    """The same model on physical values, once as today and once as on digital numbers."""
    scene = make_scene(64, 64)
    rng = np.random.default_rng(0)
    drawn = {
        band: scene.red * 0 + rng.uniform(*VARIABLES[band].valid, scene.red.shape).astype(VARIABLES[band].memory)
        for band in BANDS
    }
    scene = conform(scene.assign(drawn), "preprocessed", "test")
    for generation, normalization in (
        ("bands", Normalization.contract(BANDS)),
        ("divisors", Normalization.divisors(BANDS)),
    ):
        segmenter = Segmenter.load(kept(generation, network, tmp_path))
        values = normalization.apply(np.stack([scene[band].values for band in BANDS]))
        with torch.inference_mode():
            expected = network(torch.from_numpy(values)[None]).sigmoid()[0, 0]
        np.testing.assert_allclose(segmenter.inference(scene)[segmenter.variable], expected, atol=1e-5)


def test_our_own_file_writes_its_normalisation_out_and_keeps_it(network, tmp_path):
    config = CheckpointConfig(model=MODEL, input_combination=BANDS, temperature=1.7, score=0.6)
    save_checkpoint(network, config, tmp_path / "ours.pt")
    written = torch.load(tmp_path / "ours.pt", weights_only=True)["config"]
    assert written["normalization"]["scheme"] == "contract"
    loaded = load_checkpoint(tmp_path / "ours.pt").config
    assert loaded == config.model_copy(update={"normalization": Normalization.contract(BANDS)})


def test_old_spellings_of_bands_are_known(network, tmp_path):
    old = ["NDVI", "Blue", "green", "red", "near-infrared", "relative_elevation", "slope"]
    old += ["brightness", "greenness", "wetness"]
    config = {"model": MODEL, "input_combination": old, "norm_factors": dict.fromkeys(old, 1.0)}
    torch.save({"config": config, "statedict": network.state_dict()}, tmp_path / "old.pt")
    assert load_checkpoint(tmp_path / "old.pt").config.input_combination == BANDS


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"bands": BANDS[:9]}, "in_channels = 10, and 9 bands"),
        ({"bands": {"bands": BANDS, "band_factors": [1.0]}}, "1 factors and 10 offsets"),
        ({"input_combination": BANDS, "norm_factors": {"red": 3000}}, "there is none for ndvi, blue"),
        ({"input_combination": BANDS, "norm_factors": {**DIVISORS, "nir": 0}}, "factor of nir is 0"),
        ({"input_combination": BANDS, "norm_factors": [3000] * 10}, "norm_factors should be a mapping"),
        ({"bands": "red"}, "names no bands"),
        ({"bands": ["heat"] * 10}, "wants the bands heat"),
    ],
)
def test_what_is_wrong_with_bands_and_factors_is_said(config, message, network, tmp_path):
    torch.save({"config": {"model": MODEL, **config}, "statedict": network.state_dict()}, tmp_path / "bad.pt")
    with pytest.raises(CheckpointError, match=message) as raised:
        load_checkpoint(tmp_path / "bad.pt")
    assert "bad.pt" in str(raised.value)


def test_bands_without_digital_numbers_have_no_legacy_input():
    with pytest.raises(NormalizationError, match="No digital numbers are known for quality_level"):
        Normalization.divisors(["quality_level"], {"quality_level": 2.0})


def test_bare_weights_are_refused_with_advice(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "bare.pt")
    with pytest.raises(CheckpointError, match="Bare weights do not say which model they are of"):
        load_checkpoint(tmp_path / "bare.pt")


class Hostile:
    def __init__(self, call, argument):
        self.call, self.argument = call, argument

    def __reduce__(self):
        return self.call, (self.argument,)


@pytest.mark.parametrize(("call", "named"), [(os.system, "posix.system"), (eval, "eval"), (exec, "exec")])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_hostile_file_is_refused_and_does_nothing(call, named, zipped, network, tmp_path):
    proof = tmp_path / "proof"
    code = f"touch {proof}" if call is os.system else f"open({str(proof)!r}, 'w')"
    content = {"config": {"model": MODEL, "bands": Hostile(call, code)}, "statedict": network.state_dict()}
    torch.save(content, tmp_path / "hostile.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=f"asks for {named}, and code of a checkpoint is never run"):
        load_checkpoint(tmp_path / "hostile.pt")
    assert not proof.exists()
