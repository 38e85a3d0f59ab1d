"""A model at work: placing, precision, options, memory format and checks."""

import pytest
import torch
from torch import nn

from darts_core.inference.device import AcceleratorError
from darts_core.superresolution.facts import UpscalerError
from darts_core.superresolution.interpolation import Interpolation
from darts_core.superresolution.running import forward_on
from darts_core.superresolution.small import UpscalerConfig
from darts_core.superresolution.upscaler import Upscaler
from darts_core.superresolution.upscalers import interpolation, upscaler_of

BANDS = ("blue", "green")


def of_two_bands(module: nn.Module, **facts) -> Upscaler:
    return upscaler_of(module, **{"bands": BANDS, "factor": 1, "reach": 0, **facts})


class _Spy(nn.Module):
    """A convolution that remembers what came in, and in which state it was."""

    def __init__(self, bands: int = 2) -> None:
        super().__init__()
        self.conv = nn.Conv2d(bands, bands, 3, padding=1)
        self.seen = []

    def forward(self, x, **options):
        out = self.conv(x)
        last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
        self.seen.append((last, self.training, out.dtype, torch.is_grad_enabled(), options))
        return out


def test_a_plain_convolutional_network_runs_with_channels_last():
    spy = _Spy()
    predict = forward_on(of_two_bands(spy), "cpu")
    predict(torch.rand(1, 2, 9, 8))
    assert spy.seen[-1][0]
    assert spy.conv.weight.is_contiguous(memory_format=torch.channels_last)


def test_the_demo_network_is_one_and_its_values_stay():
    model = UpscalerConfig(channels=6, depth=3).build()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    x = torch.rand(2, 4, 21, 17)
    with torch.no_grad():
        expected = model(x)
    predicted = forward_on(upscaler_of(model, bands=("blue", "green", "red", "nir"), reach=3), "cpu")(x)
    assert model.body[0].weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(predicted, expected, rtol=1e-5, atol=1e-6)


def test_a_network_that_needs_contiguous_inputs_gets_them():
    class Reshaping(_Spy):
        def forward(self, x):
            out = super().forward(x)
            return out.view(len(out), -1).view(out.shape)

    class Attending(_Spy):
        def __init__(self):
            super().__init__()
            self.norm = nn.LayerNorm(2)

    for module in (Reshaping(), Attending()):
        predict = forward_on(of_two_bands(module), "cpu")
        predict(torch.rand(1, 2, 9, 8).to(memory_format=torch.channels_last))
        assert not module.seen[-1][0]


def test_the_module_is_in_evaluation_mode_without_gradients_and_gets_its_options():
    spy = _Spy().train()
    forward_on(of_two_bands(spy, options={"steps": 3}), "cpu")(torch.rand(1, 2, 8, 8))
    assert spy.seen[-1][1:] == (False, torch.float32, False, {"steps": 3})


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_layers_compute_in_the_precision_asked_for_and_float32_comes_out(precision):
    spy = _Spy()
    predicted = forward_on(of_two_bands(spy, precision=precision), "cpu")(torch.rand(1, 2, 8, 8))
    assert spy.seen[-1][2] is getattr(torch, precision)
    assert predicted.dtype is torch.float32


def test_interpolation_stays_exact_in_any_precision():
    x = torch.rand(1, 4, 12, 12)
    exact, low = (
        forward_on(interpolation(Interpolation.BICUBIC, precision=kind), "cpu")(x) for kind in ("float32", "bfloat16")
    )
    assert torch.equal(exact, low)


class _Shaped(nn.Module):
    def __init__(self, make) -> None:
        super().__init__()
        self.make = make

    def forward(self, x):
        return self.make(x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: x[:, :1], r"returned the shape \(1, 1, 8, 9\)"),
        (lambda x: x[0], r"returned the shape \(2, 8, 9\)"),
        (lambda x: x[..., 1:, :], r"should make \(1, 2, 8, 9\).*returned the shape \(1, 2, 7, 9\)"),
        (lambda x: (x, x), "returned tuple; expected a tensor"),
        (lambda x: x @ x, r"failed on windows of the shape \(1, 2, 8, 9\) on cpu: RuntimeError"),
    ],
)
def test_what_a_model_does_wrong_is_said(make, message):
    with pytest.raises(UpscalerError, match=message):
        forward_on(of_two_bands(_Shaped(make)), "cpu")(torch.rand(1, 2, 8, 9))


def test_unknown_options_are_said():
    with pytest.raises(UpscalerError, match=r"with \{'steps': 3\} on cpu: TypeError"):
        forward_on(of_two_bands(nn.Conv2d(2, 2, 1), options={"steps": 3}), "cpu")(torch.rand(1, 2, 8, 8))


def test_a_model_of_one_size_says_which_window_to_choose():
    predict = forward_on(of_two_bands(nn.Identity(), window=32), "cpu")
    assert predict(torch.rand(1, 2, 32, 32)).shape == (1, 2, 32, 32)
    with pytest.raises(UpscalerError, match="received 16 x 32; choose window = 32"):
        predict(torch.rand(1, 2, 16, 32))


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(AcceleratorError, match="is not here"):
        forward_on(of_two_bands(nn.Identity()), "cuda:99")
