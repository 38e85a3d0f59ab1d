"""What a person sees of a trained model is what the model does."""

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch

from darts_core.segmentation.checkpoint import CheckpointConfig, save_checkpoint
from darts_core.superresolution.small import UpscalerConfig, save_upscaler
from darts_core.training.samples import SIDE, restored, slumps_found


def test_slumps_are_found_where_the_model_says_so(tmp_path) -> None:
    model = smp.create_model(arch="Unet", encoder_name="resnet18", encoder_weights=None, in_channels=2, classes=1)
    config = CheckpointConfig(
        model_framework="smp",
        model={"arch": "Unet", "encoder_name": "resnet18", "in_channels": 2, "classes": 1},
        input_combination=["red", "nir"],
        patch_size=64,
    )
    save_checkpoint(model, config, tmp_path / "model.pt")
    images = np.random.default_rng(3).random((3, 2, 64, 64)).astype(np.float16)
    found = slumps_found(tmp_path / "model.pt", images)
    with torch.inference_mode():
        expected = model.eval()(torch.from_numpy(images).float()).sigmoid() > 0.5
    assert found.dtype == bool
    np.testing.assert_array_equal(found, expected[:, 0].numpy())
    assert 0 < found.mean() < 1


def test_an_upscaler_is_shown_what_it_gets_what_it_makes_and_what_is_true(tmp_path, make_scene) -> None:
    config = UpscalerConfig(factor=2, channels=4, depth=1)
    save_upscaler(config.build(), config, tmp_path / "up.pt")
    scene = make_scene(300, 300, invalid=np.s_[:, :100])
    seen, made, fine = restored(tmp_path / "up.pt", [scene])
    assert seen.shape == made.shape == fine.shape == (4, SIDE, SIDE)
    assert not np.isnan(fine).any(), "no part with nodata is chosen"
    np.testing.assert_allclose(seen[:, ::2, ::2], fine.reshape(4, SIDE // 2, 2, SIDE // 2, 2).mean((2, 4)), rtol=1e-5)
    np.testing.assert_array_equal(seen[:, ::2, ::2], seen[:, 1::2, 1::2])


@pytest.mark.parametrize(("size", "invalid"), [(90, np.s_[:0]), (90, np.s_[:])], ids=["small", "empty"])
def test_a_small_scene_is_one_part_and_an_empty_one_none(tmp_path, make_scene, size, invalid) -> None:
    config = UpscalerConfig(factor=4, channels=4, depth=1)
    save_upscaler(config.build(), config, tmp_path / "up.pt")
    parts = restored(tmp_path / "up.pt", [make_scene(size, size, invalid=invalid)])
    assert [part.shape for part in parts] == ([] if invalid == np.s_[:] else [(4, 88, 88)] * 3)
