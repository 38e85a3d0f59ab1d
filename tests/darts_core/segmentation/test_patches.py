"""How patches are laid, predicted and put together."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.special import logit
from torch import nn

from darts_core import contracts
from darts_core.inference.mosaic import mosaic, visiting_order
from darts_core.inference.predict import predict
from darts_core.inference.source import ReflectedSource
from darts_core.segmentation import compatible
from darts_core.segmentation.calibration import CalibrationError, fit_temperature
from darts_core.segmentation.checkpoint import CheckpointConfig, build_model
from darts_core.segmentation.fusing import UpsampledConvolution, fused
from darts_core.segmentation.heads import over_symmetries, probabilities
from darts_core.segmentation.parameters import Augment, SegmentParameters
from darts_core.segmentation.segmenter import Segmenter
from darts_core.windows import PlanError, Ramp, Window, col_weights, plan, row_weights


class Array:
    """A scene in memory that holds data everywhere."""

    def __init__(self, values):
        self.values, self.shape = values, values.shape[-2:]
        self.bands = tuple(map(str, range(len(values))))

    def read(self, window):
        return self.values[:, window.rows, window.cols]

    def valid(self, window):
        return np.ones((window.height, window.width), bool)


def segmenter_of(module, bands=("red",)):
    config = CheckpointConfig(model={"in_channels": len(bands)}, input_combination=list(bands), patch_size=32)
    return Segmenter(module.eval(), config, "m", "0" * 64, "cpu")


@pytest.fixture
def convolutions():
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 4, 5, padding=2), nn.ReLU(), nn.Conv2d(4, 1, 5, padding=2))


@pytest.fixture(scope="module")
def patches(golden):
    with np.load(golden / "darts" / "predict_in_patches.npz") as arrays:
        return dict(arrays)


def network_of(arrays):
    network = nn.Sequential(nn.Conv2d(3, 4, 5, padding=2), nn.ReLU(), nn.Conv2d(4, 1, 5, padding=2))
    with torch.no_grad():
        for layer, number in ((network[0], 0), (network[2], 1)):
            layer.weight.copy_(torch.from_numpy(arrays[f"in_w{number}"]))
            layer.bias.copy_(torch.from_numpy(arrays[f"in_b{number}"]))
    return network.eval()


@pytest.mark.parametrize(("size", "overlap", "reflection"), [(64, 16, 0), (64, 32, 8), (96, 0, 0)])
def test_compatible_blending_is_that_of_darts_to_the_bit(patches, size, overlap, reflection):
    margin = reflection + compatible.EDGE
    source = ReflectedSource(Array(patches["in_x"][0]), margin)
    tiling = plan(*source.shape, window=(size, size), overlap=overlap)
    head = probabilities(network_of(patches), Augment.NONE, 1.0)
    made, weights = compatible.blend(predict(head, source, tiling, windows=range(len(tiling))), tiling, margin)
    np.testing.assert_array_equal(weights, patches[f"out_w{size}_o{overlap}_r{reflection}"])
    np.testing.assert_array_equal(made, patches[f"out_p{size}_o{overlap}_r{reflection}"])


def test_compat_darts_is_chosen_by_a_parameter(patches, make_scene):
    bare = make_scene(200, 170)
    bands = ("red", "green", "nir")
    drawn = {}
    for band, values in zip(bands, patches["in_x"][0], strict=True):
        low, high = contracts.VARIABLES[band].valid
        drawn[band] = (("y", "x"), (low + values * (high - low)).astype("f4"))
    scene = contracts.conform(bare.assign(drawn), "preprocessed", "test")
    segmenter = segmenter_of(network_of(patches), bands)
    chosen = SegmentParameters(patch_size=64, overlap=32, compat="darts", reflection=8)
    made = segmenter.inference(scene, None, chosen)[segmenter.variable]
    np.testing.assert_allclose(made, patches["out_p64_o32_r8"], atol=1e-5)
    ours = segmenter.inference(scene, None, SegmentParameters(patch_size=64, overlap=32))[segmenter.variable]
    assert np.abs(ours - made).max() > 1e-3, "without the mirrored margin the scene's edge differs"


def test_with_compat_darts_what_is_not_valid_is_nodata_and_changes_nothing_else(convolutions, make_scene):
    whole, holed = make_scene(90, 75), make_scene(90, 75, invalid=np.s_[0:40, 0:40])
    segmenter, chosen = segmenter_of(convolutions), SegmentParameters(overlap=8, compat="darts")
    made = segmenter.inference(holed, None, chosen)[segmenter.variable].values
    assert (np.isnan(made) == ~holed.valid_data_mask.values).all()
    expected = segmenter.inference(whole.assign(red=holed.red.fillna(-0.1)), None, chosen)[segmenter.variable].values
    np.testing.assert_array_equal(made[~np.isnan(made)], expected[~np.isnan(made)])


def test_reflection_belongs_to_darts_and_to_scenes_that_are_larger(convolutions, make_scene):
    with pytest.raises(ValidationError, match="belongs to compat = darts"):
        SegmentParameters(reflection=4)
    segmenter = segmenter_of(convolutions)
    with pytest.raises(PlanError, match="A reflection of 33 pixels needs a scene of more; this one has 20 x 40"):
        segmenter.inference(make_scene(20, 40), None, SegmentParameters(compat="darts", reflection=32))
    with pytest.raises(PlanError, match="two ramps fit into a patch; received 20 twice in 32"):
        segmenter.inference(make_scene(64, 64), None, SegmentParameters(compat="darts", overlap=20))


@pytest.mark.parametrize("margin", [0, 1, 9])
def test_a_reflected_source_is_torchs_reflection(margin):
    values = np.random.default_rng(0).random((2, 10, 13), np.float32)
    source = ReflectedSource(Array(values), margin)
    expected = torch.nn.functional.pad(torch.from_numpy(values)[None], (margin,) * 4, mode="reflect")[0].numpy()
    assert source.shape == expected.shape[1:]
    np.testing.assert_array_equal(source.read(Window(0, 0, *source.shape)), expected)
    part = Window(margin // 2, margin, 7, 8)
    np.testing.assert_array_equal(source.read(part), expected[:, part.rows, part.cols])


@pytest.mark.parametrize(("length", "overlap"), [(100, 8), (97, 8), (97, 1), (70, 31), (32, 8), (33, 16), (40, 0)])
def test_cropped_windows_share_no_pixel_and_are_used_in_their_middle(length, overlap):
    tiling = plan(length, length, window=(32, 32), overlap=overlap, ramp=Ramp.CROP)
    count = np.zeros(length)
    for offset, weights in zip(tiling.row_offsets, row_weights(tiling), strict=True):
        count[offset : offset + 32] += weights
        first, last = np.flatnonzero(weights)[[0, -1]]
        assert first >= (overlap // 2 if offset else 0)
        assert 31 - last >= (overlap // 2 if offset + 32 < length else 0)
        assert set(weights) <= {0, 1}
    assert (count == 1).all()
    np.testing.assert_array_equal(row_weights(tiling), col_weights(tiling))


def test_a_halo_as_wide_as_the_model_looks_leaves_no_seam(convolutions):
    values = np.random.default_rng(5).random((1, 150, 131), np.float32)
    tiling = plan(150, 131, window=(32, 32), overlap=8, ramp=Ramp.CROP)
    source = Array(values)
    predicted = predict(convolutions, source, tiling, windows=visiting_order(tiling, 1, range(len(tiling))))
    made = np.empty((150, 131), np.float32)
    for block in mosaic(predicted, tiling, 1, nodata=None, valid=None):
        made[block.row : block.row + 512, block.col : block.col + 512] = block.data[0]
    with torch.inference_mode():
        expected = convolutions(torch.from_numpy(values)[None])[0, 0].numpy()
    np.testing.assert_allclose(made, expected, atol=1e-6)


def test_windows_without_a_valid_pixel_are_not_predicted(convolutions, make_scene):
    scene, told = make_scene(100, 100, invalid=np.s_[:, 32:]), []
    segmenter_of(convolutions).inference(
        scene, None, SegmentParameters(overlap=0), progress=lambda *done: told.append(done)
    )
    assert told[-1] == (4, 4), "of 16"


def test_scenes_together_are_the_scenes_alone_and_the_model_runs_over_all_of_them(convolutions, make_scene):
    sizes = [(90, 75), (20, 40), (64, 64), (33, 100)]
    scenes = [make_scene(*size, invalid=np.s_[0:10, 0:10]) for size in sizes]
    scenes.insert(1, make_scene(40, 50, invalid=np.s_[:, :]))
    segmenter, told = segmenter_of(convolutions), []
    for chosen in (SegmentParameters(), SegmentParameters(compat="darts", overlap=8)):
        told.clear()
        together = segmenter.inference_batched(scenes, None, chosen, progress=lambda *done: told.append(done))
        assert told[-1][0] == told[-1][1] == len(told)
        for scene, made in zip(scenes, together, strict=True):
            contracts.validate(made, "segmentation")
            alone = segmenter.inference(scene, None, chosen)
            np.testing.assert_array_equal(made[segmenter.variable], alone[segmenter.variable])
    assert np.isnan(together[1][segmenter.variable]).all()
    assert segmenter.inference_batched([]) == []
    with pytest.raises(ValueError, match="shorter"):
        segmenter.inference_batched(scenes, [None])


class Slope(nn.Module):
    """A model that knows left from right and up from down."""

    def forward(self, x):
        down = torch.linspace(-2, 3, x.shape[-2])[:, None]
        return x[:, :1] * down + torch.linspace(0, 1, x.shape[-1])


def test_the_mean_over_symmetries_turns_with_its_input():
    x = torch.rand(1, 2, 24, 24)
    mean = over_symmetries(Slope(), x)
    assert not torch.allclose(mean, Slope()(x))
    for turned in (lambda one: one.rot90(1, (-2, -1)), lambda one: one.flip(-1), lambda one: one.transpose(-2, -1)):
        torch.testing.assert_close(over_symmetries(Slope(), turned(x)), turned(mean))


def test_a_model_without_directions_gains_nothing_from_symmetries():
    torch.testing.assert_close(over_symmetries(lambda x: x[:, :1] ** 2, x := torch.rand(2, 3, 8, 16)), x[:, :1] ** 2)


def test_logits_are_averaged_before_the_sigmoid_and_probabilities_after():
    x = torch.rand(1, 1, 16, 16)
    views = []
    over_symmetries(lambda view: views.append(Slope()(view)) or views[-1], x)
    for number, (turns, mirrored) in enumerate([(t, m) for m in (False, True) for t in range(4)]):
        back = views[number].rot90(-turns, (-2, -1))
        views[number] = back.flip(-1) if mirrored else back
    logits = torch.stack(views)
    expected = {
        Augment.LOGITS: torch.sigmoid(logits.mean(0) / 2),
        Augment.PROBABILITIES: torch.sigmoid(logits / 2).mean(0),
        Augment.NONE: torch.sigmoid(Slope()(x) / 2),
    }
    for augment, values in expected.items():
        torch.testing.assert_close(probabilities(Slope(), augment, 2.0)(x), values)


def test_temperature_is_that_of_the_checkpoint_unless_it_is_given(convolutions, make_scene):
    scene, plainly = make_scene(32, 32), segmenter_of(convolutions)
    calibrated = Segmenter(
        plainly.module, plainly.config.model_copy(update={"temperature": 3.0}), "m", plainly.digest, "cpu"
    )
    cold = plainly.inference(scene)[plainly.variable]
    np.testing.assert_allclose(logit(calibrated.inference(scene)["probabilities-m"]), logit(cold) / 3, atol=1e-5)
    given = calibrated.inference(scene, None, SegmentParameters(temperature=1.0))
    np.testing.assert_array_equal(given["probabilities-m"], cold)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_calibration_finds_the_temperature_that_labels_were_drawn_with(temperature):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (400, 500)).astype(np.float32)
    truth = rng.random(logits.shape) < 1 / (1 + np.exp(-logits / temperature))
    assert fit_temperature(logits, truth) == pytest.approx(temperature, rel=0.03)
    logits[:200], valid = -logits[:200], np.arange(400)[:, None] >= np.full((1, 500), 200)
    assert fit_temperature(logits, truth, valid) == pytest.approx(temperature, rel=0.05)


def test_calibration_wants_both_classes_and_one_shape():
    with pytest.raises(CalibrationError, match="received 4 of 4 with"):
        fit_temperature(np.zeros((2, 2)), np.ones((2, 2), bool))
    with pytest.raises(CalibrationError, match=r"shape of the logits, \(2, 2\); received \(3,\)"):
        fit_temperature(np.zeros((2, 2)), np.ones(3, bool))


@pytest.mark.parametrize(("channels", "beside"), [(3, 5), (4, 0)])
def test_an_upsampled_convolution_is_repetition_concatenation_and_convolution(channels, beside):
    torch.manual_seed(0)
    convolution = nn.Conv2d(channels + beside, 6, 3, padding=1)
    small, fine = torch.rand(2, channels, 7, 5), torch.rand(2, beside, 14, 10)
    enlarged = nn.functional.interpolate(small, scale_factor=2, mode="nearest")
    with torch.inference_mode():
        expected = convolution(torch.cat([enlarged, fine], dim=1))
        made = UpsampledConvolution(convolution, channels)(small, fine if beside else None)
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=1e-5)


def unet(arch, encoder):
    torch.manual_seed(2)
    model = {"arch": arch, "encoder_name": encoder, "in_channels": 3, "classes": 1}
    network = build_model(CheckpointConfig(model=model, input_combination=["red", "nir", "ndvi"]), "the test")
    network.train()(torch.rand(4, 3, 64, 64))
    return network.eval()


def test_a_fused_network_is_the_network_with_less_to_do():
    network = unet("Unet", "resnet18")
    made = fused(network, 3)
    kinds = [type(module) for module in made.modules()]
    assert nn.BatchNorm2d in map(type, network.modules())
    assert nn.BatchNorm2d not in kinds
    assert kinds.count(UpsampledConvolution) == 5
    inputs = torch.rand(2, 3, 96, 128)
    with torch.inference_mode():
        torch.testing.assert_close(made(inputs), network(inputs), atol=1e-4, rtol=1e-4)


def test_a_network_that_cannot_be_traced_stays_as_it_is():
    network = unet("FPN", "resnet18")
    assert fused(network, 3) is network


def test_a_network_that_does_not_come_out_the_same_stays_as_it_is():
    class Moody(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            return x[:, :1] * self.calls

    network = Moody()
    assert fused(network, 3) is network
