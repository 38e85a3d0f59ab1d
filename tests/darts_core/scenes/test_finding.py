"""What is found, refused, written down and identified, on disk and in an object store."""

import os
import re
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
import s3fs
from hypothesis import given
from hypothesis import strategies as st

from darts_core.scenes import Scene, SceneError, find_scenes, read_scene, scene_digest

ACQUIRED = datetime(2021, 8, 21, 21, 0, 19, tzinfo=UTC)


def scene(**fields):
    given_fields = {
        "url": "/data/a.tif",
        "reader": "geotiff",
        "product_id": "a",
        "tile": "T08WMA",
        "acquired": ACQUIRED,
        "sensor": "S2A",
        "files": ("a.json", "a.tif"),
    }
    return Scene(**{**given_fields, **fields})


def test_key():
    assert scene().key == "T08WMA_20210821T210019_S2A"
    assert scene(acquired=ACQUIRED.replace(microsecond=24000)).key == "T08WMA_20210821T210019.024000_S2A"


@given(tile=st.text(max_size=120), sensor=st.text(max_size=20))
def test_a_key_is_safe_or_refused(tile, sensor):
    try:
        key = scene(tile=tile, sensor=sensor).key
    except SceneError:
        return
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", key)
    assert ".." not in key
    assert len(key) <= 100


@pytest.mark.parametrize(
    "fields",
    [
        {"tile": ""},
        {"tile": "a/b"},
        {"tile": ".."},
        {"tile": "T08WMA\n"},
        {"tile": "é"},
        {"sensor": "a b"},
        {"tile": "x" * 90},
        {"acquired": ACQUIRED.replace(tzinfo=None)},
        {"acquired": ACQUIRED.astimezone(timezone(timedelta(hours=2)))},
        {"reader": "modis"},
        {"files": ("../a.tif",)},
        {"files": ("/a.tif",)},
    ],
)
def test_unusable_parts_are_refused(fields):
    with pytest.raises(SceneError):
        scene(**fields)


@given(microsecond=st.integers(0, 999_999), names=st.lists(st.from_regex(r"[a-zA-Z0-9é ]{1,9}\.tif", fullmatch=True)))
def test_json_there_and_back(microsecond, names):
    one = scene(acquired=ACQUIRED.replace(microsecond=microsecond), files=tuple(names))
    assert Scene.from_json(one.to_json()) == one


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"acquired": 3}'])
def test_json_of_something_else(text):
    with pytest.raises(SceneError, match=r"Scene\.to_json"):
        Scene.from_json(text)


def test_nothing_to_find(tmp_path):
    with pytest.raises(SceneError, match="does not exist"):
        find_scenes(str(tmp_path / "absent"))
    with pytest.raises(SceneError, match="neither a local path nor a URL"):
        find_scenes("s3x://bucket")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(SceneError, match=r"looked for \.SAFE folders.*found 1 other files"):
        find_scenes(str(tmp_path))


def test_nothing_unrelated_is_a_candidate(tmp_path, make_safe, make_planet):
    make_safe(tmp_path / "deep" / "er")
    make_planet(tmp_path, "_3B_AnalyticMS_SR")
    (tmp_path / "unrelated.txt").write_text("x")
    (tmp_path / "unrelated.json").write_text("x")
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 truncated")
    shutil.make_archive(str(tmp_path / "shapes"), "zip", tmp_path, "unrelated.txt")
    findings = find_scenes(str(tmp_path))
    assert {one.reader for one in findings.scenes} == {"sentinel2", "planet"}
    assert [os.path.basename(refusal.url) for refusal in findings.refusals] == ["broken.zip", "shapes.zip"]
    assert "not a whole zip" in findings.refusals[0].reasons["sentinel2"]
    assert "holds no .SAFE" in findings.refusals[1].reasons["sentinel2"]


def test_a_link_to_a_folder_above_is_walked_once(tmp_path, make_planet):
    make_planet(tmp_path, "_3B_AnalyticMS_SR")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert len(find_scenes(str(tmp_path)).scenes) == 1


def test_digest_is_of_content_not_of_place_or_time(tmp_path, make_safe):
    first = make_safe(tmp_path / "a")
    second = tmp_path / "b" / first.name
    shutil.copytree(first, second)
    (image,) = second.rglob("*B03_10m.jp2")
    os.utime(image, (time.time() - 9999, 0))
    (one,), (two,) = (find_scenes(str(safe)).scenes for safe in (first, second))
    digest = scene_digest(one)
    assert digest == scene_digest(two)
    assert digest == scene_digest(Scene.from_json(one.to_json()))
    content = bytearray(image.read_bytes())
    content[-10] ^= 1
    image.write_bytes(content)
    changed = scene_digest(two)
    image.unlink()
    assert len({digest, changed, scene_digest(two)}) == 3


def test_digest_of_a_zip(tmp_path, make_safe):
    safe = make_safe(tmp_path / "folder")
    archives = [shutil.make_archive(str(tmp_path / name / "s"), "zip", safe.parent) for name in ("x", "y")]
    digests = {scene_digest(find_scenes(archive).scenes[0]) for archive in archives}
    assert len(digests) == 1
    one = find_scenes(archives[0]).scenes[0]
    os.remove(archives[0])
    with pytest.raises(SceneError, match="not there any more"):
        scene_digest(one)


def test_definitions_stay_light():
    code = (
        "import sys; from darts_core.scenes import Findings, Scene, find_scenes; import darts_core.scenes.quality;"
        "heavy = {'torch', 'rasterio', 'geopandas', 'skimage', 'dask'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture(scope="module")
def delivered(bucket, tmp_path_factory, make_safe, make_planet):
    """A prefix with a .SAFE, a zip of another, and a Planet order; and the same on disk."""
    options, url = bucket
    home = tmp_path_factory.mktemp("delivered")
    make_safe(home / "s2")
    zipped = make_safe(tmp_path_factory.mktemp("zipped"), tile="T08WMB", seed=1)
    shutil.make_archive(str(home / "zips" / "one"), "zip", zipped.parent)
    make_planet(home / "order", "_3B_AnalyticMS_SR", metadata={"acquired": "2022-07-16T21:00:19Z"})
    fs = s3fs.S3FileSystem(**options)
    fs.put(str(home), f"{url}/in", recursive=True)
    return home, f"{url}/in", options, fs


def test_object_store_is_the_folder(delivered):
    home, prefix, options, _ = delivered
    local, remote = find_scenes(str(home)), find_scenes(prefix, options)
    assert not remote.refusals
    assert [one.key for one in remote.scenes] == [one.key for one in local.scenes]
    assert [one.files for one in remote.scenes] == [one.files for one in local.scenes]
    assert all(one.url.startswith(prefix) for one in remote.scenes)
    for here, there in zip(local.scenes, remote.scenes, strict=True):
        with read_scene(here) as raw, read_scene(there, storage_options=options) as fetched:
            assert list(raw) == list(fetched)
            for name in raw:
                np.testing.assert_array_equal(raw[name], fetched[name])
            assert raw.attrs == fetched.attrs


def test_one_scene_of_an_object_store(delivered):
    _, prefix, options, _ = delivered
    everything = find_scenes(prefix, options).scenes
    for one in everything:
        assert find_scenes(one.url, options).scenes == (one,)


def test_digest_in_an_object_store_follows_the_content(delivered):
    _, prefix, options, fs = delivered
    (one,) = find_scenes(f"{prefix}/order", options).scenes
    before = scene_digest(one, options)
    assert scene_digest(one, options) == before
    target = f"{prefix}/order/{one.files[0]}"
    content = fs.cat_file(target)
    fs.pipe_file(target, content[:-1] + bytes([content[-1] ^ 1]))
    assert scene_digest(one, options) != before
    fs.pipe_file(target, content)
    assert scene_digest(one, options) == before


def test_empty_prefix(bucket):
    options, url = bucket
    with pytest.raises(SceneError, match="holds no scene"):
        find_scenes(f"{url}/nothing", options)


def test_object_that_vanished_is_named(delivered):
    _, prefix, options, fs = delivered
    fs.put(str(delivered[0] / "s2"), f"{prefix}-gone/s2", recursive=True)
    (one,) = find_scenes(f"{prefix}-gone", options).scenes
    fs.rm(f"{one.url}/{next(name for name in one.files if 'B08' in name)}")
    with pytest.raises(SceneError, match=r"B08_10m\.jp2"):
        read_scene(one, storage_options=options)
