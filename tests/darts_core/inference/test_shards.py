import shutil

import fsspec
import numpy as np
import pytest

from darts_core.inference.shards import ShardError, ShardSet, ShardWriter, plan_shards, write_index
from darts_core.windows import plan

BANDS = ("blue", "green", "red", "nir")
TILING = plan(40, 40, window=(16, 16), overlap=4, factor=2)


def codes_of(number):
    return np.full((4, 32, 32), 1000 + 100 * number, np.uint16)


def write(folder, occupied=range(9), done=()):
    """What was published, and the windows that had to be predicted."""
    published = []
    wanted = ShardSet(folder, TILING, "super_resolved", BANDS, plan_shards(TILING, "super_resolved", BANDS, 1), "m")
    remaining = [shard for shard in wanted.shards if shard.name not in done]
    writer = ShardWriter(wanted, remaining, list(occupied), published.append)
    numbers = writer.numbers
    for number in numbers:
        writer.add(number, codes_of(number))
    write_index(wanted, published.append)
    return published, numbers


def test_what_is_written_is_read_back_in_order(tmp_path):
    assert write(tmp_path)[0] == ["shard-00000", "shard-00001", "shard-00002", "index.json"]
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


def test_windows_come_in_the_order_in_which_they_are_asked_for(tmp_path):
    write(tmp_path, occupied=[0, 1, 2, 4, 6, 7, 8])
    opened = ShardSet.open(tmp_path)
    assert opened.numbers() == [0, 1, 2, 4, 6, 7, 8]
    for order in ([0, 1, 4, 6, 7, 2, 8], [8, 4, 0], [2, 4, 6]):
        assert [(number, codes[0, 0, 0]) for number, codes in opened.windows(order)] == [
            (number, 1000 + 100 * number) for number in order
        ]
    with pytest.raises(ShardError, match=r"shard-00001 of .* does not hold the windows 4 to 5"):
        list(opened.windows([4, 5]))


def test_windows_without_a_valid_pixel_are_not_computed_nor_stored(tmp_path):
    published, numbers = write(tmp_path, occupied=[1, 7])
    assert published == ["shard-00000", "shard-00001", "shard-00002", "index.json"]
    assert numbers == [1, 7]
    assert [number for number, _ in ShardSet.open(tmp_path).windows()] == [1, 7]


def test_only_missing_shards_are_computed(tmp_path):
    assert write(tmp_path, done={"shard-00001"}) == (
        ["shard-00000", "shard-00002", "index.json"],
        [0, 1, 2, 6, 7, 8],
    )


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


def test_a_window_that_is_not_the_next_is_refused(tmp_path):
    wanted = ShardSet(tmp_path, TILING, "super_resolved", BANDS, plan_shards(TILING, "super_resolved", BANDS), "m")
    writer = ShardWriter(wanted, wanted.shards, [0, 4], lambda _: None)
    with pytest.raises(ShardError, match="Expected the window 0, received 1"):
        writer.add(1, codes_of(1))
    writer.add(0, codes_of(0))
    writer.add(4, codes_of(4))
    with pytest.raises(ShardError, match="Expected the window no further window, received 5"):
        writer.add(5, codes_of(5))
