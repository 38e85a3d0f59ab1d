import numpy as np
import pytest
import torch
from torch import nn

from darts_core.contracts import REFLECTANCE, variable
from darts_core.dataflow import DataflowError
from darts_core.inference.codes import encoder
from darts_core.inference.predict import PredictionError, predict
from darts_core.windows import plan


class Scene:
    bands = ("a", "b")

    def __init__(self, values):
        self.values = values.astype(np.float32)
        self.shape = values.shape[1:]

    def read(self, window):
        return self.values[:, window.rows, window.cols]

    def valid(self, window):
        return np.ones((window.height, window.width), bool)


@pytest.fixture
def scene():
    return Scene(np.random.default_rng(3).uniform(0, 0.5, (2, 30, 40)))


TILING = plan(30, 40, window=(16, 16), overlap=4)


def results(model, scene, **options):
    return dict(predict(model, scene, TILING, windows=range(len(TILING)), **options))


def test_a_model_that_does_nothing_returns_the_windows(scene):
    told = []
    for number, values in results(nn.Identity(), scene, progress=lambda *done: told.append(done)).items():
        np.testing.assert_array_equal(values.numpy(), scene.read(TILING[number]))
    assert told[-1] == (len(TILING), len(TILING))


@pytest.mark.parametrize("threads", [1, 2])
def test_the_bits_do_not_depend_on_batch_size_or_threads(scene, threads):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(2, 8, 3, padding=1), nn.Sigmoid(), nn.Conv2d(8, 2, 3, padding=1)).eval()
    before = torch.get_num_threads()
    alone = results(model, scene, batch_size=1)
    torch.set_num_threads(threads)
    try:
        for size in (2, 5, 64):
            together = results(model, scene, batch_size=size)
            assert all(torch.equal(alone[number], together[number]) for number in alone)
    finally:
        torch.set_num_threads(before)


def test_large_windows_that_are_read_where_they_are_predicted_give_the_same(scene, monkeypatch):
    model = nn.Sequential(nn.Conv2d(2, 8, 3, padding=1), nn.Sigmoid()).eval()
    ahead = results(model, scene)
    monkeypatch.setattr("darts_core.inference.predict.PIECE_BYTES", 100)
    there = results(model, scene)
    assert list(there) == list(ahead)
    assert all(torch.equal(ahead[number], there[number]) for number in ahead)


def test_a_large_window_that_cannot_be_read_is_named(scene, monkeypatch):
    monkeypatch.setattr("darts_core.inference.predict.PIECE_BYTES", 100)
    monkeypatch.setattr(
        Scene, "read", lambda scene, window: 1 / 0 if window == TILING[1] else np.zeros((2, 16, 16), "f4")
    )
    with pytest.raises(DataflowError, match="ZeroDivisionError") as raised:
        results(nn.Identity(), scene)
    assert "window 1 of the plan" in str(raised.value)


def test_a_model_that_changes_its_input_changes_no_other_window(scene):
    untouched = {number: scene.read(window).copy() for number, window in enumerate(TILING)}
    made = results(lambda inputs: inputs.mul_(2), scene)
    for number, values in made.items():
        np.testing.assert_array_equal(values.numpy(), 2 * untouched[number])


def test_a_stochastic_model_gives_each_window_its_own_numbers_whatever_the_batch(scene):
    class Noise(nn.Module):
        def forward(self, x):
            return x + torch.randn_like(x)

    one, again, other = (results(Noise(), scene, seed=seed, batch_size=size) for seed, size in ((5, 1), (5, 4), (6, 1)))
    assert all(torch.equal(one[number], again[number]) for number in one)
    assert not torch.equal(one[0], other[0])
    noise = [one[number] - torch.from_numpy(scene.read(TILING[number])) for number in (0, 1)]
    assert not torch.allclose(*noise)


def test_height_and_width_are_padded_for_the_model_and_cropped_again(scene):
    class Multiple(nn.Module):
        def forward(self, x):
            assert x.shape[-2:] == (32, 32)
            return x

    assert results(Multiple(), scene, multiple=32)[0].shape == (2, 16, 16)


def test_a_result_that_is_no_number_is_an_error(scene):
    class Broken(nn.Module):
        def forward(self, x):
            return x / 0 if x[0, 0, 0, 0] == float(scene.values[0, 0, 12]) else x

    with pytest.raises(PredictionError, match=r"NaN or infinity in window 1 of the plan \(Window\(row=0, col=12"):
        results(Broken(), scene)


def test_a_result_of_another_size_is_an_error(scene):
    with pytest.raises(PredictionError, match="16 x 16 pixels each; the model returned the shape"):
        results(nn.Upsample(scale_factor=2), scene)


@pytest.mark.parametrize("row", [REFLECTANCE[0], variable("segmentation", "probabilities-x")])
def test_codes_on_a_tensor_are_those_on_an_array(row):
    values = np.random.default_rng(0).uniform(-0.3, 8, (1, 2, 50, 60)).astype(np.float32)
    np.testing.assert_array_equal(encoder(row)(torch.from_numpy(values.copy())).numpy(), row.encode(values))
