"""The adapter, the built-in upscalers, and checkpoints of the small network."""

from dataclasses import replace

import lightning as L
import pytest
import torch
from affine import Affine
from rasterio.crs import CRS
from torch import nn

from darts_core.grids import Grid
from darts_core.inference.weights import WeightsError
from darts_core.superresolution.facts import Precision, UpscalerError
from darts_core.superresolution.interpolation import Interpolation
from darts_core.superresolution.running import forward_on
from darts_core.superresolution.small import SmallUpscaler, UpscalerConfig, save_upscaler
from darts_core.superresolution.upscaler import require_fit
from darts_core.superresolution.upscalers import interpolation, load_upscaler, upscaler_of


def pixels_of(metres: float) -> Grid:
    return Grid(CRS.from_epsg(32608), Affine(metres, 0, 500_000, 0, -metres, 7_600_000), 300, 300)


FOUR = ("blue", "green", "red", "nir")


def small() -> SmallUpscaler:
    torch.manual_seed(0)
    model = UpscalerConfig(channels=6, depth=3).build().eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    return model


def test_an_untrained_network_is_bicubic():
    x = torch.rand(1, 4, 9, 7)
    model = UpscalerConfig(channels=6, depth=3).build().eval()
    torch.testing.assert_close(model(x), interpolation(Interpolation.BICUBIC).module(x))


def test_a_checkpoint_gives_the_network_back(tmp_path):
    model, config = small(), UpscalerConfig(channels=6, depth=3, name="mine")
    save_upscaler(model, config, tmp_path / "m.pt")
    loaded = load_upscaler(tmp_path / "m.pt")
    x = torch.rand(1, 4, 9, 7)
    assert torch.equal(loaded.module(x), model(x))
    assert (loaded.name, loaded.bands, loaded.bands_out, loaded.factor, loaded.reach) == ("mine", FOUR, FOUR, 4, 3)
    assert len(loaded.digest) == 64


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"config": {"model_framework": "smp"}, "statedict": {}}, "bands"),
        ({"statedict": {}}, "KeyError"),
        ([1], "should hold"),
    ],
)
def test_other_files_are_refused(content, message, tmp_path):
    torch.save(content, tmp_path / "m.pt")
    with pytest.raises(UpscalerError, match=message):
        load_upscaler(tmp_path / "m.pt")


def test_weights_of_another_network_are_refused(tmp_path):
    save_upscaler(small(), UpscalerConfig(channels=7, depth=3), tmp_path / "m.pt")
    with pytest.raises(UpscalerError, match="do not fit its own config"):
        load_upscaler(tmp_path / "m.pt")


def test_unknown_names_and_broken_files_are_refused(tmp_path):
    with pytest.raises(UpscalerError, match="one of the upscalers nearest, bilinear, bicubic"):
        load_upscaler("lanczos")
    (tmp_path / "m.pt").write_text("no checkpoint")
    with pytest.raises(WeightsError, match="not a checkpoint of plain tensors"):
        load_upscaler(tmp_path / "m.pt")


def test_built_ins_take_other_bands_and_factors():
    upscaler = load_upscaler("bilinear", factor=2, bands=("swir16", "swir22"), batch=3, name="mine")
    assert (upscaler.factor, upscaler.bands_out, upscaler.batch, upscaler.reach) == (2, ("swir16", "swir22"), 3, 1)
    assert upscaler.name == "mine"
    assert forward_on(upscaler, "cpu")(torch.rand(1, 2, 8, 8)).shape == (1, 2, 16, 16)
    assert upscaler.digest != load_upscaler("bilinear").digest


class _ThreeTimes(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 18, 3, padding=1)

    def forward(self, x):
        return nn.functional.pixel_shuffle(self.conv(x), 3)


def test_any_module_goes_and_what_is_not_said_is_measured():
    module = _ThreeTimes()
    upscaler = upscaler_of(module, bands=FOUR, bands_out=("red", "nir"))
    assert (upscaler.factor, upscaler.reach, upscaler.name) == (3, 1, "_ThreeTimes")
    x = torch.rand(2, 4, 10, 12)
    torch.testing.assert_close(forward_on(upscaler, "cpu")(x), module(x).detach(), rtol=1e-5, atol=1e-6)


def test_the_digest_is_that_of_code_layers_and_weights():
    module = _ThreeTimes()
    said = {"bands": FOUR, "bands_out": ("red", "nir"), "factor": 3, "reach": 1}
    digest = upscaler_of(module, **said).digest
    copy = _ThreeTimes()
    copy.load_state_dict(module.state_dict())
    assert upscaler_of(copy, **said).digest == digest
    with torch.no_grad():
        copy.conv.bias[0] += 1
    assert upscaler_of(copy, **said).digest != digest
    assert upscaler_of(module, options={"steps": 3}, **said).digest != digest

    class Other(_ThreeTimes):
        pass

    other = Other()
    other.load_state_dict(module.state_dict())
    assert upscaler_of(other, **said).digest != digest


def test_random_numbers_have_no_reach_to_be_measured():
    assert upscaler_of(nn.Identity(), bands=FOUR, stochastic=True).reach is None
    assert upscaler_of(nn.Identity(), bands=FOUR, stochastic=True, reach=5).reach == 5


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({}, r"does not say which bands it takes.*bands = \['blue', 'green', 'red', 'nir'\]"),
        ({"bands": ("blue", "pink")}, "product 'preprocessed', each once; it has no pink"),
        ({"bands": ("blue", "blue")}, "each once"),
        ({"bands": FOUR, "bands_out": ("ndvi",)}, "product 'super_resolved', each once; it has no ndvi"),
        (
            {"bands": FOUR, "bands_out": ("red",)},
            r"expected 1 bands \(red\) and a whole.*name them as bands_out",
        ),
        ({"bands": FOUR, "factor": 0}, "factor: Input should be greater than or equal to 1"),
        ({"bands": FOUR, "precision": "int8"}, "precision: Input should be 'float32', 'bfloat16' or 'float16'"),
        ({"bands": FOUR, "colour": 1}, "colour: Unexpected keyword argument"),
    ],
)
def test_facts_that_do_not_fit_are_refused(facts, message):
    with pytest.raises(UpscalerError, match=message):
        upscaler_of(nn.Identity(), **facts)


def test_a_factor_that_is_no_whole_number_is_refused():
    with pytest.raises(UpscalerError, match="a whole factor of both sides"):
        upscaler_of(nn.AvgPool2d(2), bands=FOUR)


def test_a_model_is_held_against_the_scene():
    upscaler = replace(interpolation(Interpolation.BICUBIC), resolution=10.0, window=128)
    require_fit(upscaler, pixels_of(10.2), (128, 128))
    with pytest.raises(UpscalerError, match="was made for pixels of 10 m; the scene has 3 m"):
        require_fit(upscaler, pixels_of(3.0), (128, 128))
    with pytest.raises(UpscalerError, match="windows of 128 x 128 pixels only; the plan has 100 x 128"):
        require_fit(upscaler, pixels_of(10.0), (100, 128))
    require_fit(interpolation(Interpolation.BICUBIC), pixels_of(3.0), (100, 128))


def test_precision_is_float32_unless_asked():
    assert interpolation(Interpolation.BICUBIC).precision is Precision.FLOAT32
