"""What is measured of a model against what is known of it, and against what blending really leaves."""

import numpy as np
import pytest
import torch
from torch import nn

from darts_core.superresolution.interpolation import Interpolation
from darts_core.superresolution.reach import expected_seam, measure_seams, measured_reach
from darts_core.superresolution.running import forward_on
from darts_core.superresolution.small import SmallUpscaler
from darts_core.superresolution.upscaler import Upscaler
from darts_core.superresolution.upscalers import interpolation, upscaler_of
from darts_core.windows import Ramp, col_weights, plan, row_weights

BANDS = ("blue", "green", "red", "nir")


def learned(depth: int, **facts) -> Upscaler:
    torch.manual_seed(0)
    module = SmallUpscaler(4, 4, 8, depth)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.15)
    return upscaler_of(module, bands=BANDS, **facts)


@pytest.mark.parametrize("factor", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", Interpolation)
def test_interpolations_reach_as_far_as_they_say(kind, factor):
    upscaler = interpolation(kind, factor)
    assert measured_reach(measure_seams(upscaler)) == upscaler.reach


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_the_demo_network_reaches_as_far_as_it_says(depth):
    upscaler = learned(depth)
    assert upscaler.reach == upscaler.module.reach == max(depth, 2)
    assert measure_seams(upscaler) == upscaler.seams


def test_a_sure_edge_is_measured_exactly():
    """A model that adds 7 digital numbers to the four outermost pixels of whatever it gets."""

    class Edge(nn.Module):
        def forward(self, x):
            inner = torch.zeros_like(x[..., 4:-4, 4:-4])
            return x + nn.functional.pad(inner, (4, 4, 4, 4), value=7e-4)

    upscaler = upscaler_of(Edge(), bands=BANDS)
    assert upscaler.reach == 4
    np.testing.assert_allclose(upscaler.seams, [7e-4] * 4 + [0.0] * 28, rtol=0, atol=1e-6)


def test_half_a_digital_number_does_not_count():
    assert measured_reach((3e-4, 0.9e-4, 0.4e-4, 0.2e-4)) == 2
    assert measured_reach((0.4e-4, 0.4e-4)) == 0
    assert measured_reach((3e-4, 0.0, 3e-4)) is None
    assert measured_reach((3e-4, float("nan"))) is None


class _Mean(nn.Module):
    def forward(self, x):
        return 0.5 * x + 0.5 * x.mean((-1, -2), keepdim=True)


class _Pooled(nn.Module):
    """Depends on where in the frame a window lies: pixels in pairs."""

    def forward(self, x):
        return nn.functional.avg_pool2d(x, 2).repeat_interleave(2, -1).repeat_interleave(2, -2)


@pytest.mark.parametrize("module", [_Mean(), _Pooled()])
def test_models_that_never_join_without_a_seam_have_no_reach(module):
    upscaler = upscaler_of(module, bands=BANDS)
    assert upscaler.reach is None
    assert expected_seam(upscaler, 16) > 100


def test_a_reach_beyond_the_first_window_is_found_with_the_next():
    box = nn.Conv2d(1, 1, (1, 81), padding=(0, 40), padding_mode="replicate", bias=False)
    nn.init.constant_(box.weight, 1 / 81)
    assert upscaler_of(box, bands=("nir",)).reach == 40


def test_what_is_said_is_not_measured():
    assert learned(3, reach=9).reach == 9
    assert learned(3, reach=9).seams == ()


def test_low_precision_and_other_bands_do_not_disturb_the_measure():
    assert learned(3, precision="bfloat16").reach == 3

    class Drop(nn.Module):
        def forward(self, x):
            return x[:, :2]

    assert upscaler_of(Drop(), bands=("red", "nir", "relative_elevation"), bands_out=("red", "nir")).reach == 0


def blended(upscaler: Upscaler, image: torch.Tensor, tiling) -> np.ndarray:
    predict, factor = forward_on(upscaler, "cpu"), upscaler.factor
    rows, cols = row_weights(tiling), col_weights(tiling)
    whole = np.zeros((len(BANDS), tiling.height * factor, tiling.width * factor))
    for number, window in enumerate(tiling):
        row, col = divmod(number, len(tiling.col_offsets))
        fine = (slice(part.start * factor, part.stop * factor) for part in (window.rows, window.cols))
        made = predict(image[..., window.rows, window.cols])[0].numpy()
        whole[(slice(None), *fine)] += made * rows[row][:, None] * cols[col]
    return whole


@pytest.mark.parametrize(
    ("border", "overlap", "ramp"),
    [(0, 4, Ramp.SIGMOID), (0, 12, Ramp.LINEAR), (1, 6, Ramp.COSINE), (2, 8, Ramp.SIGMOID)],
)
def test_the_expected_seam_is_about_what_blending_leaves_along_a_shore(border, overlap, ramp):
    upscaler = learned(4)
    rng = np.random.default_rng(3)
    shore = np.where(np.cumsum(rng.normal(size=(1, 4, 200, 200)), -1) > 0, 0.9, 0.03).astype(np.float32)
    tiling = plan(200, 200, window=(48, 48), overlap=overlap, border=border, ramp=ramp, factor=4)
    image = torch.from_numpy(shore)
    left = np.abs(blended(upscaler, image, tiling) - forward_on(upscaler, "cpu")(image)[0].numpy()).max() / 1e-4
    expected = expected_seam(upscaler, border, overlap, ramp)
    assert left / 3 < expected < left * 3


def test_a_border_of_the_reach_leaves_nothing():
    assert expected_seam(learned(3), 3) < 0.5
    assert expected_seam(interpolation(Interpolation.BICUBIC), 0) > 1
