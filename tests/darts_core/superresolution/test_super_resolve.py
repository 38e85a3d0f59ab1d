import hashlib
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import torch
import xarray as xr
from support.rasters import assembled
from torch import nn

from darts_core import contracts
from darts_core.grids import GridError
from darts_core.inference.geotiff import read_cog, write_cog
from darts_core.inference.shards import ShardSet
from darts_core.superresolution.interpolation import Interpolation
from darts_core.superresolution.parameters import SuperResolveParameters
from darts_core.superresolution.patches import is_needed, super_resolve_patches
from darts_core.superresolution.scenes import stitch, super_resolve
from darts_core.superresolution.small import SmallUpscaler
from darts_core.superresolution.upscaler import Upscaler
from darts_core.superresolution.upscalers import interpolation

SMALL = SuperResolveParameters(window=16, batch_size=3)
BANDS = tuple(row.name for row in contracts.REFLECTANCE)


def rows_of(stream) -> np.ndarray:
    """All codes of a stream: (bands, y, x)."""
    return assembled(stream.blocks(), stream.grid.shape)


def codes_of(values: np.ndarray) -> np.ndarray:
    return contracts.REFLECTANCE[0].encode(values)


@pytest.fixture
def scene(make_scene):
    return make_scene(50, 37)


def learned(seed: int = 0) -> Upscaler:
    torch.manual_seed(seed)
    module = SmallUpscaler(bands=4, factor=4, channels=8, depth=3).eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.1)
    return Upscaler(module, 4, BANDS, module.reach, "learned", "0")


@pytest.mark.parametrize("upscaler", [*map(interpolation, Interpolation), learned()], ids=lambda u: u.name)
def test_windows_leave_no_seam(scene, upscaler):
    with torch.inference_mode():
        frame = upscaler.module(torch.from_numpy(np.stack([scene[band].values for band in BANDS]))[None])
    stitched = rows_of(super_resolve(scene, upscaler, SMALL)).astype(int)
    assert np.abs(stitched - codes_of(frame[0].numpy()).astype(int)).max() <= 1


def test_a_border_below_the_reach_warns_of_its_seam(scene):
    with pytest.warns(UserWarning, match=r"seam of about \d+\.\d digital numbers"):
        super_resolve(scene, interpolation(Interpolation.BICUBIC), SMALL.model_copy(update={"border": 0}))


@pytest.mark.parametrize("value", [0.0, 0.25, 1.7])
def test_a_constant_stays_exactly_what_it_was(scene, value):
    """Also 0, which is a value, and reflectance above 1, which is snow."""
    constant = scene.assign({band: xr.full_like(scene[band], value) for band in BANDS})
    assert (rows_of(super_resolve(constant, interpolation(Interpolation.BICUBIC), SMALL)) == 1e4 * value + 1000).all()


def test_nodata_comes_out_where_it_went_in_and_valid_pixels_hold_data(make_scene):
    scene = make_scene(50, 37, invalid=np.s_[10:50, 0:20])
    codes = rows_of(super_resolve(scene, learned(), SMALL))
    valid = scene.valid_data_mask.values.repeat(4, 0).repeat(4, 1)
    assert ((codes == 0) == ~valid).all()


def test_a_missing_pixel_changes_nothing_beyond_the_reach(make_scene):
    whole, upscaler = make_scene(50, 37), learned()
    holed = make_scene(50, 37, invalid=np.s_[20, 15])
    near = np.zeros((50, 37), bool)
    near[20 - upscaler.reach : 21 + upscaler.reach, 15 - upscaler.reach : 16 + upscaler.reach] = True
    changed = rows_of(super_resolve(whole, upscaler, SMALL)) != rows_of(super_resolve(holed, upscaler, SMALL))
    assert changed.any()
    assert not changed[:, ~near.repeat(4, 0).repeat(4, 1)].any()


def test_nodata_makes_no_seam(make_scene):
    scene = make_scene(50, 37, invalid=np.s_[10:50, 0:20])
    one, many = (
        rows_of(super_resolve(scene, learned(), SMALL.model_copy(update={"window": size}))).astype(int)
        for size in (64, 16)
    )
    assert np.abs(one - many).max() <= 1


def test_a_scene_without_a_valid_pixel_becomes_nodata(make_scene):
    scene = make_scene(20, 20, invalid=np.s_[:, :])
    assert not rows_of(super_resolve(scene, learned(), SMALL)).any()


def patches(scene, folder, upscaler=None, done=(), computed=None):
    folder.mkdir(exist_ok=True)
    published = []
    upscaler = upscaler or interpolation(Interpolation.BICUBIC)
    super_resolve_patches(
        scene, upscaler, SMALL, folder, published.append, done=done, shard_bytes=100_000,
        progress=None if computed is None else lambda n, total: computed.append((n, total)),
    )  # fmt: skip
    return published


def test_shards_then_stitching_equal_the_direct_way(make_scene, tmp_path):
    scene = make_scene(50, 37, invalid=np.s_[0:30, 0:20])
    published = patches(scene, tmp_path / "patches")
    assert published[-1] == "index.json"
    assert len(published) > 3
    stitched = rows_of(stitch(ShardSet.open(tmp_path / "patches"), scene))
    assert (stitched == rows_of(super_resolve(scene, interpolation(Interpolation.BICUBIC), SMALL))).all()


def test_what_was_published_is_not_computed_again_and_the_bytes_are_the_same(scene, tmp_path):
    first = patches(scene, tmp_path / "first")
    done, computed = first[:2], []
    second = patches(scene, tmp_path / "second", done=done, computed=computed)
    assert second == first[2:]
    assert computed[0][0] > 1
    assert computed[-1][0] == computed[-1][1]

    def digest(path):
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return [(str(file.relative_to(path)), hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]

    for name in second:
        assert digest(tmp_path / "first" / name) == digest(tmp_path / "second" / name)


def test_batch_size_changes_nothing(scene):
    one, two, seven = (
        rows_of(super_resolve(scene, learned(), SMALL.model_copy(update={"batch_size": size}))) for size in (1, 2, 7)
    )
    assert (one == two).all()
    assert (one == seven).all()


def test_a_scene_that_is_fine_enough_passes_unchanged(make_scene, tmp_path):
    scene = make_scene(50, 37, resolution=3, invalid=np.s_[0:5, :])
    assert not is_needed(scene, SMALL)
    direct = super_resolve(scene, learned(), SMALL)
    assert direct.tags["factor"] == "1"
    assert (rows_of(direct) == codes_of(np.stack([scene[band].values for band in BANDS]))).all()
    assert patches(scene, tmp_path / "patches") == ["index.json"]
    assert (rows_of(stitch(ShardSet.open(tmp_path / "patches"), scene)) == rows_of(direct)).all()


def test_the_file_has_the_place_and_codec_of_the_scene(scene, tmp_path):
    path = write_cog(super_resolve(scene, interpolation(Interpolation.BICUBIC), SMALL), tmp_path / "sr.tif")
    with rasterio.open(path) as source:
        assert source.crs == scene.rio.crs
        assert source.transform == rasterio.Affine(2.5, 0, 500_000, 0, -2.5, 7_600_000)
        assert (source.count, source.height, source.width) == (4, 200, 148)
    back = read_cog(path, "super_resolved").load()
    contracts.validate(back, "super_resolved")
    assert "super-resolved x4 by bicubic" in back.blue.attrs["data_source"]


def test_geographic_coordinates_are_refused(scene):
    with pytest.raises(GridError, match="Reproject the scene"):
        is_needed(scene.rio.write_crs(4326), SMALL)


def test_patches_of_another_scene_are_refused(make_scene, scene, tmp_path):
    patches(make_scene(40, 40), tmp_path / "patches")
    with pytest.raises(contracts.ContractError, match="40 x 40 pixels, the preprocessed scene has 50 x 37"):
        stitch(ShardSet.open(tmp_path / "patches"), scene)


def test_a_model_of_another_factor_is_refused(scene):
    wrong = replace(interpolation(Interpolation.BICUBIC, factor=2), factor=4)
    with pytest.raises(Exception, match="the model returned the shape"):
        rows_of(super_resolve(scene, wrong, SMALL))
