"""Patch shards, made by super-resolution."""

import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.conformance import IOManagerConformance
from support.datasets import preprocessed_dataset

from darts_core.inference.shards import ShardError, ShardSet, within
from darts_core.store import Draft, Store
from darts_core.superresolution import load_upscaler, super_resolve_patches
from darts_core.superresolution.parameters import SuperResolveParameters
from io_managers.shards import ShardsIOManager, StoredShards

Step = Callable[..., ShardSet]


def patches(number: int, resolution: float = 10.0, **options: Any) -> Step:
    """What predicts the patches, into shards of one window row."""
    scene = preprocessed_dataset(number, (36, 20), resolution=resolution)
    parameters = SuperResolveParameters(window=16, batch_size=4)
    return partial(super_resolve_patches, scene, load_upscaler("bicubic"), parameters, shard_bytes=1, **options)


def interrupted(step: Step, then: Callable[[], None]) -> Step:
    """`step`, which calls `then` after it has published its first shard."""

    def write(folder: Path, publish: Callable[[str], None], **options: Any) -> ShardSet:
        called = []

        def publish_then(name: str) -> None:
            publish(name)
            if not called:
                called.append(True)
                then()

        return step(folder, publish_then, **options)

    return write


def stored(step: Step) -> Callable[[Draft], dict[str, Any]]:
    """What the asset returns: `step` with the draft that is to be filled."""

    def fill(draft: Draft) -> dict[str, Any]:
        step(draft.folder, draft.publish, done=draft.published())
        return {}

    return fill


@cache
def expected(number: int) -> list[tuple[int, np.ndarray]]:
    with tempfile.TemporaryDirectory() as folder:
        return list(patches(number)(Path(folder), lambda name: None).windows())


class TestPatches(IOManagerConformance):
    """Windows in shards, each published when it is finished."""

    manager_class = ShardsIOManager

    def value(self, number: int) -> Callable[[Draft], dict[str, Any]]:
        return stored(patches(number))

    def failing(self, then: Callable[[], None]) -> Callable[[Draft], dict[str, Any]]:
        return stored(interrupted(patches(2), then))

    def assert_same(self, read: StoredShards, number: int) -> None:
        assert read.shards.model == "bicubic"
        assert len(read.shards.shards) == 4
        for (place, codes), (right_place, right_codes) in zip(read.shards.windows(), expected(number), strict=True):
            assert place == right_place
            np.testing.assert_array_equal(codes, right_codes)


def test_an_interrupted_run_computes_only_the_rest_to_the_same_bytes(store: Store) -> None:
    case, told = TestPatches(), []

    def fail() -> None:
        raise RuntimeError("the node was taken away")

    with pytest.raises(RuntimeError, match="the node was taken away"):
        case.made(store, "v1", stored(interrupted(patches(1), fail)), 1)
    case.made(store, "v1", stored(patches(1, progress=lambda done, total: told.append((done, total)))), 1)
    resumed = case.current(store)
    made = case.read(store).shards
    in_first = len(within(made.shards[0], made.numbers()))
    assert told[0][0] > in_first > 0, "the first shard was not computed again"
    assert told[-1] == (len(expected(1)), len(expected(1)))
    case.make(store, "v2", 1)
    assert resumed.manifest.objects == case.current(store).manifest.objects


def test_a_scene_that_passes_unchanged_has_no_shards(store: Store) -> None:
    case = TestPatches()
    case.made(store, "v1", stored(patches(1, resolution=3.0)), 0)
    assert case.read(store).shards.shards == ()
    assert set(case.current(store).manifest.objects) == {"index.json"}


def test_a_chunk_that_disappears_while_it_is_read_is_an_error_not_nodata(store: Store) -> None:
    case = TestPatches()
    case.make(store, "v1", 1)
    read = case.read(store).shards
    store.fs.rm_file(case.current(store).path(read.shards[0].name, "windows", "c", "0", "0", "0", "0"))
    with pytest.raises(ShardError, match="has 0 of 1 chunks"):
        list(read.windows())
