import geopandas as gpd
import numpy as np
import pytest
import torch
import xarray as xr
from shapely import box

from darts_core import contracts
from darts_core.evaluation.report import evaluate
from darts_core.segmentation.parameters import Input
from darts_core.segmentation.segmenter import Segmenter
from darts_core.superresolution import load_upscaler
from darts_core.training.parameters import (
    TrainingPatchesParameters,
    TrainSegmentationParameters,
    TrainUpscalerParameters,
)
from darts_core.training.patches import TrainingError, TrainingScene, make_training_patches
from darts_core.training.segmentation import train_segmentation
from darts_core.training.superresolution import degrade, psnr, train_upscaler

PATCHES = TrainingPatchesParameters(bands=["red", "nir"], patch_size=32, overlap=0)


@pytest.fixture(scope="module")
def slumps():
    """Bare squares in green land, in another CRS than the scene's."""
    places = [(20, 30), (100, 40), (60, 110), (150, 150), (30, 170), (110, 100), (170, 60), (80, 20)]
    boxes = [
        box(500_000 + 10 * x, 7_600_000 - 10 * (y + 12), 500_000 + 10 * (x + 14), 7_600_000 - 10 * y) for x, y in places
    ]
    return gpd.GeoDataFrame(geometry=boxes, crs=32608).to_crs(3413)


@pytest.fixture(scope="module")
def scene(make_scene, slumps):
    from rasterio.features import rasterize

    bare = make_scene(200, 200, invalid=np.s_[:, 196:])
    outlines = slumps.to_crs(32608).geometry
    bald = rasterize(outlines, out_shape=(200, 200), transform=bare.rio.transform(recalc=True)).astype(bool)
    rng = np.random.default_rng(1)

    def coloured(inside, outside):
        values = np.where(bald, inside, outside) + rng.normal(0, 0.02, bald.shape)
        return xr.zeros_like(bare.red) + values.astype(np.float32)

    made = bare.assign(red=coloured(0.3, 0.1), nir=coloured(0.3, 0.45))
    made = made.assign({name: made[name].where(made.valid_data_mask) for name in ("red", "nir")})
    return contracts.conform(made, "preprocessed", "test")


@pytest.fixture(scope="module")
def patches(scene, slumps):
    return make_training_patches([TrainingScene("one", scene)], slumps, PATCHES)


def test_patches_hold_model_input_and_truth(scene, slumps, patches):
    inputs = contracts.model_input(scene, ("red", "nir"))
    bald = scene.red.values > 0.2
    for _, patch in patches.groupby("patch"):
        patch = patch.squeeze("patch")
        rows = slice(int(patch.row), int(patch.row) + 32)
        cols = slice(int(patch.col), int(patch.col) + 32)
        np.testing.assert_allclose(patch.image, inputs[:, rows, cols], atol=5e-4)
        valid = scene.valid_data_mask.values[rows, cols]
        assert ((patch.mask.values == 255) == ~valid).all()
        assert ((patch.mask.values == 1) == bald[rows, cols]).all()


def test_patches_say_where_their_scenes_lie(scene, patches):
    assert patches.attrs["scenes"] == ["one"]
    assert patches.attrs["crs"] == [scene.rio.crs.to_string()]
    assert patches.attrs["bounds"] == [list(scene.rio.bounds())]


def test_validation_shares_no_pixel_with_training(scene, slumps):
    overlapping = PATCHES.model_copy(update={"overlap": 16, "block": 3})
    made = make_training_patches([TrainingScene("one", scene)], slumps, overlapping)
    seen = {held: np.zeros((200, 200), bool) for held in (True, False)}
    for row, col, held in zip(made.row.values, made.col.values, made.validation.values, strict=True):
        seen[bool(held)][row : row + 32, col : col + 32] = True
    assert seen[True].any()
    assert seen[False].any()
    assert not (seen[True] & seen[False]).any()


def test_patches_are_balanced_and_the_same_each_time(scene, slumps, patches):
    positive = ((patches.mask == 1).sum(("y", "x")) >= PATCHES.min_slump_pixels).values
    assert 0 < (~positive).sum() < positive.sum()
    assert make_training_patches([TrainingScene("one", scene)], slumps, PATCHES).identical(patches)


def test_what_teaches_nothing_is_refused(scene, slumps):
    elsewhere = slumps.to_crs(32608).translate(1e5, 0).to_frame("geometry")
    with pytest.raises(TrainingError, match="No slump of the truth"):
        make_training_patches([TrainingScene("one", scene)], elsewhere, PATCHES)
    with pytest.raises(TrainingError, match="no CRS"):
        make_training_patches([TrainingScene("one", scene)], slumps.set_crs(None, allow_override=True), PATCHES)
    with pytest.raises(TrainingError, match="one has no super-resolved raster"):
        fine = PATCHES.model_copy(update={"input": Input.SUPER_RESOLVED})
        make_training_patches([TrainingScene("one", scene)], slumps, fine)
    with pytest.raises(TrainingError, match="There is no scene"):
        make_training_patches([], slumps, PATCHES)


SEGMENTATION = TrainSegmentationParameters(
    name="quick",
    encoder_name="tu-mobilenetv3_small_050",
    decoder_channels=[16, 16, 16, 8, 8],
    steps=40,
    batch_size=4,
    learning_rate=1e-2,
    inference_patch_size=32,
)


def test_a_model_learns_what_is_easy_and_the_checkpoint_segments(scene, slumps, patches, tmp_path):
    told = []
    made = train_segmentation(patches, SEGMENTATION, tmp_path, progress=lambda *counts: told.append(counts))
    assert told[-1] == (40, 40)
    assert made.metrics["loss_last"] < 0.5 * made.metrics["loss_first"]
    assert made.metrics["iou"] > 0.4
    segmenter = Segmenter.load(made.path)
    assert segmenter.config.score == made.metrics["f1"]
    report = evaluate(segmenter.inference(scene)["probabilities-quick"], slumps)
    assert report.scores.iou > 0.4


def test_training_twice_gives_the_same_weights(patches, tmp_path):
    short = SEGMENTATION.model_copy(update={"steps": 3})
    states = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        path = train_segmentation(patches, short, tmp_path / name).path
        states.append(torch.load(path, weights_only=True)["statedict"])
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_patches_without_validation_are_refused(patches, tmp_path):
    with pytest.raises(TrainingError, match="and 0"):
        train_segmentation(patches.assign(validation=patches.validation & False), SEGMENTATION, tmp_path)


UPSCALER = TrainUpscalerParameters(name="sharp", patch_size=48, channels=16, depth=3, steps=60, batch_size=8)


@pytest.fixture(scope="module")
def hard_edges(make_scene):
    """Blocks of two kinds: bicubic blurs their edges, and a network can learn not to."""
    bare = make_scene(240, 240)
    rng = np.random.default_rng(0)
    values = rng.choice([0.1, 0.4], (30, 30)).repeat(8, 0).repeat(8, 1).astype(np.float32)
    return bare.assign({row.name: xr.zeros_like(bare[row.name]) + values for row in contracts.REFLECTANCE})


def test_an_upscaler_learns_edges_that_bicubic_blurs(hard_edges, tmp_path):
    made = train_upscaler([hard_edges], UPSCALER, tmp_path)
    assert made.metrics["beats_bicubic"] == 1
    assert made.metrics["psnr"] > made.metrics["psnr_bicubic"] + 1
    loaded = load_upscaler(made.path)
    assert (loaded.name, loaded.factor, loaded.reach) == ("sharp", 4, 3)
    with torch.inference_mode():
        assert loaded.module(torch.rand(1, 4, 6, 7)).shape == (1, 4, 24, 28)


def test_an_upscaler_needs_two_patches_and_room_for_its_reach(make_scene, hard_edges, tmp_path):
    with pytest.raises(TrainingError, match="Expected two or more patches"):
        train_upscaler([make_scene(50, 50)], UPSCALER, tmp_path)
    with pytest.raises(TrainingError, match="needs patches of more than 48"):
        train_upscaler([hard_edges], UPSCALER.model_copy(update={"depth": 6}), tmp_path)


def test_degrading_is_the_mean_of_each_area():
    fine = torch.rand(1, 1, 8, 8)
    expected = fine.reshape(1, 1, 2, 4, 2, 4).mean((3, 5))
    torch.testing.assert_close(degrade(fine, 4), expected)


def test_psnr_of_a_known_error():
    fine = np.zeros((3, 4, 16, 16), np.float32)
    assert psnr(lambda x: torch.full((len(x), 4, 16, 16), 0.1), fine, 4, 0) == pytest.approx(20, abs=1e-4)
