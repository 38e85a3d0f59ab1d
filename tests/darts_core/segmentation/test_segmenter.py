import hashlib

import numpy as np
import pytest
import torch
import xarray as xr

from darts_core import contracts
from darts_core.ensemble import ensemble
from darts_core.grids import on_finest_grid
from darts_core.inference.geotiff import blocks_of, read_cog, write_cog
from darts_core.inference.weights import WeightsError
from darts_core.preprocessing.indices import compute
from darts_core.segmentation.checkpoint import CheckpointConfig, CheckpointError, build_model, save_checkpoint
from darts_core.segmentation.composed import ComposedSource
from darts_core.segmentation.parameters import EnsembleParameters, SegmentParameters
from darts_core.segmentation.segmenter import Segmenter
from darts_core.superresolution import load_upscaler, super_resolve
from darts_core.superresolution.parameters import SuperResolveParameters
from darts_core.windows import Window

BANDS = ["red", "nir", "ndvi"]


def config(**changes) -> CheckpointConfig:
    fields = {
        "model": {
            "arch": "Unet",
            "encoder_name": "tu-mobilenetv3_small_050",
            "encoder_weights": "imagenet",
            "in_channels": 3,
            "classes": 1,
            "decoder_channels": [8, 8, 8, 8, 8],
        },
        "input_combination": BANDS,
        "patch_size": 64,
    }
    return CheckpointConfig.model_validate({**fields, **changes})


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "tiny.pt"
    save_checkpoint(build_model(config(), "the test"), config(), path)
    return path


@pytest.fixture
def scene(make_scene):
    bare = make_scene(90, 75, invalid=np.s_[0:30, 0:20])
    index = (bare.nir - bare.red) / (bare.nir + bare.red)
    return contracts.conform(bare.assign(ndvi=index), "preprocessed", "test")


def test_a_scene_in_one_patch_gives_what_the_model_gives(checkpoint, scene):
    segmenter = Segmenter.load(checkpoint)
    made = segmenter.inference(scene, None, SegmentParameters(patch_size=96))
    contracts.validate(made, "segmentation")
    values = contracts.model_input(scene, segmenter.bands)
    padded = np.pad(values, ((0, 0), (0, 6), (0, 21)), mode="reflect")
    with torch.inference_mode():
        expected = segmenter.module(torch.from_numpy(padded)[None]).sigmoid()[0, 0, :90, :75].numpy()
    valid = scene.valid_data_mask.values
    np.testing.assert_allclose(made["probabilities-tiny"].values[valid], expected[valid], atol=1e-5)
    assert np.isnan(made["probabilities-tiny"].values[~valid]).all()


def test_the_stream_and_the_dataset_are_the_same(checkpoint, scene, tmp_path):
    segmenter, told = Segmenter.load(checkpoint, name="other"), []
    assert segmenter.digest == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    stream = segmenter.stream(scene.chunk(32), progress=lambda *counts: told.append(counts))
    back = read_cog(write_cog(stream, tmp_path / "p.tif"), "segmentation").load()
    direct = segmenter.inference(scene)
    assert told[-1] == (4, 4)
    np.testing.assert_allclose(back["probabilities-other"], direct["probabilities-other"], atol=0.0051)
    assert segmenter.digest in back["probabilities-other"].attrs["data_source"]


def test_the_score_of_a_checkpoint_weighs_its_model_also_from_a_file(scene, tmp_path):
    files = []
    for name, score in (("good", 0.9), ("poor", 0.3)):
        torch.manual_seed(len(files))
        chosen = config(name=name, score=score)
        save_checkpoint(build_model(chosen, "the test"), chosen, tmp_path / f"{name}.pt")
        segmenter = Segmenter.load(tmp_path / f"{name}.pt")
        assert segmenter.inference(scene)[segmenter.variable].attrs["score"] == score
        files.append(read_cog(write_cog(segmenter.stream(scene), tmp_path / f"{name}.tif"), "segmentation"))
    both = on_finest_grid(files)
    combined = ensemble(both, EnsembleParameters(weighting="score"))
    assert combined.attrs["weights"] == [0.9, 0.3]
    expected = (3 * both["probabilities-good"] + both["probabilities-poor"]) / 4
    np.testing.assert_allclose(combined["probabilities"], expected, atol=1e-6)


def test_batch_size_changes_nothing(checkpoint, scene):
    segmenter = Segmenter.load(checkpoint)
    one, four = (segmenter.inference(scene, None, SegmentParameters(batch_size=size)) for size in (1, 4))
    np.testing.assert_allclose(one["probabilities-tiny"], four["probabilities-tiny"], atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (5, 70), (33, 31)])
def test_small_scenes_work(checkpoint, make_scene, size):
    bare = make_scene(*size)
    scene = contracts.conform(bare.assign(ndvi=bare.red * 0), "preprocessed", "test")
    made = Segmenter.load(checkpoint).inference(scene)
    assert made["probabilities-tiny"].shape == size
    assert not np.isnan(made["probabilities-tiny"]).any()


def test_a_scene_without_a_band_is_refused(checkpoint, make_scene):
    with pytest.raises(contracts.ContractError, match="lacks ndvi"):
        Segmenter.load(checkpoint).inference(make_scene(32, 32))


def save(path, content):
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": {"input_combination": ["red"]}}, "config.model"),
        ({"config": {"model_framework": "smp"}}, "names no bands"),
        (
            {"config": config(input_combination=["red", "nir", "warmth"]).model_dump(mode="json")},
            "wants the bands warmth",
        ),
        ({"config": config(input_combination=["red"]).model_dump(mode="json")}, "in_channels = 3, and 1 bands"),
        ({"config": config(model={"arch": "Vnet", "in_channels": 3}).model_dump(mode="json")}, "Vnet"),
        (
            {"config": config(model={"encoder_name": "resnet1", "in_channels": 3}).model_dump(mode="json")},
            "resnet1",
        ),
        ({"config": config(model={"in_channels": 3, "classes": 2}).model_dump(mode="json")}, "has 2 classes"),
        ({"statedict": {}}, "do not fit its own config"),
    ],
)
def test_what_is_wrong_with_a_checkpoint_is_said(checkpoint, tmp_path, changes, message):
    content = torch.load(checkpoint, weights_only=True)
    with pytest.raises(CheckpointError, match=message):
        Segmenter.load(save(tmp_path / "bad.pt", {**content, **changes}))


class _Code:
    def __reduce__(self):
        return (print, ("this code must not run",))


def test_files_that_are_no_checkpoints_are_refused_and_their_code_is_not_run(tmp_path, capsys):
    with pytest.raises(WeightsError, match="There is no checkpoint"):
        Segmenter.load(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(WeightsError, match="not a checkpoint of plain tensors"):
        Segmenter.load(tmp_path / "text.pt")
    with pytest.raises(WeightsError, match="not a checkpoint of plain tensors"):
        Segmenter.load(save(tmp_path / "code.pt", {"config": _Code(), "statedict": {}}))
    assert capsys.readouterr().out == ""


@pytest.fixture
def fine(scene, tmp_path):
    coarse = scene[[row.name for row in contracts.REFLECTANCE] + ["valid_data_mask"]]
    stream = super_resolve(coarse, load_upscaler("bicubic"), SuperResolveParameters(window=32))
    return read_cog(write_cog(stream, tmp_path / "sr.tif"), "super_resolved")


def test_a_composed_window_is_the_same_wherever_it_is_cut(scene, fine):
    rng = np.random.default_rng(0)
    height = xr.zeros_like(scene.red) + rng.uniform(0, 50, scene.red.shape).astype(np.float32)
    scene = scene.assign(relative_elevation=height.where(scene.valid_data_mask))
    source = ComposedSource(scene, fine, ("ndvi", "relative_elevation", "red"))
    whole = source.read(Window(0, 0, *source.shape))
    part = Window(101, 66, 57, 123)
    np.testing.assert_allclose(source.read(part), whole[:, part.rows, part.cols], rtol=1e-5, atol=1e-5)
    valid = scene.valid_data_mask.values.repeat(4, 0).repeat(4, 1)
    assert (source.valid(part) == valid[part.rows, part.cols]).all()
    assert (~np.isnan(whole[1:]) == valid).all()
    np.testing.assert_array_equal(whole[0], compute("ndvi", {name: fine[name].values for name in ("red", "nir")}))


def test_every_index_is_made_of_fine_reflectance(scene, fine):
    scene = scene.assign(NBR=scene.ndvi * 0 + np.float32(0.25))
    source = ComposedSource(scene, fine, ("gndvi", "EVI", "NBR", "blue"))
    made = source.read(Window(0, 0, *source.shape))
    bands = {name: fine[name].values for name in ("blue", "green", "red", "nir")}
    for position, name in enumerate(("gndvi", "EVI")):
        np.testing.assert_array_equal(made[position], compute(name, bands))
    # nothing finer than the scene knows short-wave infrared
    assert set(np.unique(made[2][~np.isnan(made[2])])) == {np.float32(0.25)}
    with pytest.raises(contracts.ContractError, match="lacks NBR2"):
        ComposedSource(scene, fine, ("NBR2",))


def test_features_are_interpolated_as_torch_does(scene, fine):
    whole = scene.fillna(0).assign(relative_elevation=scene.red.fillna(0))
    made = ComposedSource(whole, fine, ("relative_elevation",)).read(Window(0, 0, 360, 300))
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(whole.red.values)[None, None], scale_factor=4, mode="bilinear"
    )
    np.testing.assert_allclose(made[0], expected[0, 0].numpy(), atol=1e-5)


def test_a_model_of_super_resolved_pixels_works_on_their_grid(scene, fine, tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "fine.pt"
    chosen = config(input="super_resolved")
    save_checkpoint(build_model(chosen, "the test"), chosen, path)
    segmenter = Segmenter.load(path)
    made = segmenter.inference(scene, fine)
    assert made["probabilities-fine"].shape == (360, 300)
    assert made.rio.transform(recalc=True) == fine.rio.transform(recalc=True)
    contracts.validate(made, "segmentation")
    assert segmenter.inference(scene)["probabilities-fine"].shape == (90, 75)
    native = Segmenter.load(path)
    assert native.stream(scene, fine).grid.shape == (360, 300)


def test_a_raster_of_another_place_is_refused(scene, fine):
    moved = fine.assign_coords(x=fine.x + 1000)
    moved = moved.rio.write_transform(moved.rio.transform(recalc=True))
    with pytest.raises(contracts.ContractError, match="expected a whole number of pixels"):
        ComposedSource(scene, moved, ("red",))


def test_a_scene_that_passed_super_resolution_unchanged_composes_to_itself(scene, tmp_path):
    kept = scene[[row.name for row in contracts.REFLECTANCE]]
    same = read_cog(write_cog(blocks_of(kept, "super_resolved"), tmp_path / "sr.tif"), "super_resolved")
    source = ComposedSource(scene, same, ("red", "nir", "ndvi"))
    np.testing.assert_allclose(source.read(Window(0, 0, 90, 75))[0], scene.red, atol=6e-5)
