import numpy as np
import pytest
import torch
from torch import nn

from darts_core.inference.weights import WeightsError
from darts_core.superresolution.upscalers import (
    Interpolation,
    SmallUpscaler,
    UpscalerConfig,
    UpscalerError,
    interpolation,
    load_upscaler,
    save_upscaler,
)


def small() -> SmallUpscaler:
    torch.manual_seed(0)
    model = UpscalerConfig(channels=6, depth=3).build().eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    return model


def measured_reach(module, factor, size=21) -> int:
    """How far the result changes around one changed pixel, in pixels of the input."""
    centre = size // 2
    torch.manual_seed(0)
    before = torch.rand(1, 4, size, size)
    after = before.clone()
    after[..., centre, centre] += 1
    with torch.inference_mode():
        changed = (module(before) != module(after)).any(dim=1)[0].numpy()
    rows = np.flatnonzero(changed.any(axis=1)) // factor
    return int(np.abs(rows - centre).max())


@pytest.mark.parametrize("kind", Interpolation)
def test_interpolations_look_no_further_than_they_say(kind):
    upscaler = interpolation(kind)
    assert measured_reach(upscaler.module, 4) == upscaler.reach


def test_the_network_looks_as_far_as_it_says():
    model = small()
    assert measured_reach(model, 4) == model.reach == 3


def test_an_untrained_network_is_bicubic():
    torch.manual_seed(0)
    x = torch.rand(1, 4, 9, 7)
    model = UpscalerConfig(channels=6, depth=3).build().eval()
    torch.testing.assert_close(model(x), interpolation(Interpolation.BICUBIC).module(x))


def test_a_checkpoint_gives_the_network_back(tmp_path):
    model, config = small(), UpscalerConfig(channels=6, depth=3, name="mine")
    save_upscaler(model, config, tmp_path / "m.pt")
    loaded = load_upscaler(tmp_path / "m.pt")
    x = torch.rand(1, 4, 9, 7)
    assert torch.equal(loaded.module(x), model(x))
    assert (loaded.name, loaded.bands, loaded.reach) == ("mine", ("blue", "green", "red", "nir"), 3)
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
