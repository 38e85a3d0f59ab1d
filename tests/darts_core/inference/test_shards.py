import shutil

import fsspec
import numpy as np
import pytest

from darts_core.inference.shards import ShardError, ShardSet, missing_shards, plan_shards, write_shards
from darts_core.windows import plan

BANDS = ("blue", "green", "red", "nir")
TILING = plan(40, 40, window=(16, 16), overlap=4, factor=2)


def values_of(number):
    return np.full((4, 32, 32), number / 100, np.float32)


def write(folder, occupied=range(9), done=(), calls=None):
    published = []
    wanted = ShardSet(folder, TILING, "super_resolved", BANDS, plan_shards(TILING, "super_resolved", BANDS, 1), "m")

    def predicted(numbers):
        if calls is not None:
            calls.append(list(numbers))
        return ((number, values_of(number)) for number in numbers)

    write_shards(wanted, predicted, list(occupied), published.append, done)
    return published


def test_what_is_written_is_read_back_in_order(tmp_path):
    assert write(tmp_path) == ["shard-00000", "shard-00001", "shard-00002", "index.json"]
    opened = ShardSet.open(tmp_path)
    assert (opened.plan, opened.bands, opened.dtype) == (TILING, BANDS, "uint16")
    back = dict(opened.windows())
    assert list(back) == list(range(9))
    assert all((codes == 1000 + 100 * number).all() for number, codes in back.items())


def test_shards_are_read_from_an_object_store(tmp_path):
    write(tmp_path)
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path), "/bucket/patches", recursive=True)
    remote = dict(ShardSet.open(memory.get_mapper("/bucket/patches")).windows())
    assert list(remote) == list(range(9))
    assert (remote[7] == 1700).all()


def test_windows_without_a_valid_pixel_are_not_computed_nor_stored(tmp_path):
    calls = []
    write(tmp_path, occupied=[1, 7], calls=calls)
    assert calls == [[1], [], [7]]
    assert [number for number, _ in ShardSet.open(tmp_path).windows()] == [1, 7]


def test_only_missing_shards_are_computed(tmp_path):
    calls = []
    assert write(tmp_path, done={"shard-00001"}, calls=calls) == ["shard-00000", "shard-00002", "index.json"]
    assert calls == [[0, 1, 2], [6, 7, 8]]
    planned = plan_shards(TILING, "super_resolved", BANDS, 1)
    assert [one.name for one in missing_shards({"shard-00001"}, planned)] == ["shard-00000", "shard-00002"]


def test_lost_pieces_are_errors_and_never_nodata(tmp_path):
    write(tmp_path)
    opened = ShardSet.open(tmp_path)
    (tmp_path / "shard-00001" / "windows" / "c" / "0" / "0" / "0" / "0").unlink()
    with pytest.raises(ShardError, match="shard-00001/windows has 0 of 1 chunks"):
        list(opened.windows())
    shutil.rmtree(tmp_path / "shard-00000")
    with pytest.raises(ShardError, match=r"Shard shard-00000 of .* is missing"):
        list(opened.windows())
    (tmp_path / "index.json").unlink()
    with pytest.raises(ShardError, match=r"has no index\.json"):
        ShardSet.open(tmp_path)


def test_a_prediction_that_leaves_windows_out_is_refused(tmp_path):
    wanted = ShardSet(tmp_path, TILING, "super_resolved", BANDS, plan_shards(TILING, "super_resolved", BANDS), "m")
    with pytest.raises(ShardError, match="Expected the windows"):
        write_shards(wanted, lambda _: iter([(0, values_of(0))]), [0, 1], lambda _: None)
