import struct

import numpy as np
import pytest
from rasterio.io import MemoryFile

from darts_core.inference.pyramid import levels
from darts_core.inference.tiff import LONG, SHORT, Code, Layout, Tag, TileTable, needs_big, pack, unpack

TAGS = [
    Tag(300, SHORT, struct.pack("<H", 7)),
    Tag(301, SHORT, struct.pack("<5H", *range(5))),
    Tag(299, LONG, struct.pack("<300I", *range(300))),
    Tag(302, 2, b"text\0"),
]


def test_what_is_packed_is_unpacked():
    assert unpack(pack([TAGS], big=False)) == (TAGS[2], TAGS[0], TAGS[1], TAGS[3])


def test_tags_that_depend_on_the_file_are_not_carried_over():
    packed = pack([[*TAGS, *(Tag(code, LONG, bytes(4)) for code in Code)]], big=False)
    assert {tag.code for tag in unpack(packed)} == {299, 300, 301, 302}


@pytest.mark.parametrize("big", [False, True])
def test_short_values_come_before_long_ones(big):
    packed = pack([TAGS, [Tag(301, LONG, struct.pack("<4I", 1, 22, 333, 4444))]], big=big)
    second, first = (packed.index(data) for data in (struct.pack("<4I", 1, 22, 333, 4444), TAGS[2].data))
    assert second < first


@pytest.mark.parametrize("big", [False, True])
def test_gdal_finds_one_pixel_by_the_tables(big):
    described = (
        Tag(258, SHORT, struct.pack("<H", 16)),
        Tag(262, SHORT, struct.pack("<H", 1)),
        Tag(277, SHORT, struct.pack("<H", 1)),
        Tag(322, SHORT, struct.pack("<H", 512)),
        Tag(323, SHORT, struct.pack("<H", 512)),
    )
    layout = Layout(levels(1, 1), 1, np.dtype("uint16"), "none", described, big)
    table = TileTable.empty(1, layout.levels[0])
    head = layout.head([table])
    table.offsets[:], table.counts[:] = len(head), 512 * 512 * 2
    assert len(layout.head([table])) == len(head)
    file = layout.head([table]) + np.full((512, 512), 4321, np.uint16).tobytes()
    with MemoryFile(file) as memory, memory.open() as source:
        assert source.read().tolist() == [[[4321]]]


@pytest.mark.parametrize(
    ("size", "dtype", "big"),
    [(16_000, "uint16", False), (24_000, "uint16", True), (22_500, "uint16", False), (24_000, "uint8", False)],
)
def test_offsets_have_64_bits_where_32_may_not_do(size, dtype, big):
    assert needs_big(levels(size, size)[:1], 4, np.dtype(dtype)) == big


def test_overviews_count_towards_the_size():
    made = levels(22_500, 22_500)
    assert not needs_big(made[:1], 4, np.dtype("uint16"))
    assert needs_big(made, 4, np.dtype("uint16"))
