"""Patch shards: predicted windows, stored once each, so that a killed run goes on where it was.

A shard is a Zarr v3 group with the arrays `windows` (window, band, height, width), codes of the product's disk dtype,
and `numbers` (window,), their numbers in the plan. `index.json` beside the shards holds the plan and the contract.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec

from darts_core.contracts import variable
from darts_core.errors import DartsError
from darts_core.windows import Plan, Ramp, Shard, shards

INDEX = "index.json"
CHUNK_BYTES = 8 * 1024**2

Publish = Callable[[str], None]
"""Told the name of a file or folder under the staging folder that is whole and may be moved away."""


class ShardError(DartsError):
    """A shard that is missing, damaged, or of another plan."""


@dataclass(frozen=True, slots=True)
class ShardSet:
    """Predicted windows of one scene on disk or in an object store."""

    root: Any
    """Where the shards lie: a path, or an fsspec mapping for an object store."""
    plan: Plan
    product: str
    """The contract that the codes follow."""
    bands: tuple[str, ...]
    shards: tuple[Shard, ...]
    """None where the scene passes unchanged: then no window was predicted."""
    model: str
    """Name of the model that predicted the windows."""

    @property
    def dtype(self) -> str:
        """dtype of the codes."""
        return _row(self.product, self.bands[0]).disk

    @classmethod
    def open(cls, root: str | Path | Mapping[str, bytes]) -> ShardSet:
        """Open what `ShardWriter` and `write_index` wrote.

        Raises:
            ShardError: no index there.
        """
        try:
            is_path = isinstance(root, (str, Path))
            text = (Path(root) / INDEX).read_bytes() if is_path else root[INDEX]  # type: ignore[arg-type,index]
        except (FileNotFoundError, KeyError) as error:
            raise ShardError(f"{root} has no {INDEX}, so it holds no finished patch shards") from error
        return cls(root, **_parse(json.loads(text)))

    def numbers(self) -> list[int]:
        """Numbers in the plan of all windows that are stored, ascending."""
        return [number for shard in self.shards for number in self._open(shard)[0].tolist()]

    def windows(self, order: Sequence[int] | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Numbers in the plan and codes (bands, height, width) of windows, in this order; of all where None.

        Neighbours in a shard that follow one another are read together.

        Raises:
            ShardError: a shard is missing, a piece of it is, or it does not hold a window.
        """
        opened: dict[str, tuple[np.ndarray, zarr.Array]] = {}
        starts = [shard.first for shard in self.shards]
        for run in _runs(self.numbers() if order is None else order, set(starts)):
            shard = self.shards[bisect_right(starts, run[0]) - 1]
            if shard.name not in opened:
                opened[shard.name] = self._open(shard)
            numbers, windows = opened[shard.name]
            first = int(np.searchsorted(numbers, run[0]))
            stop = min(first + len(run), len(numbers))
            if numbers[first:stop].tolist() != run:
                raise ShardError(f"Shard {shard.name} of {self.root} does not hold the windows {run[0]} to {run[-1]}")
            step = windows.chunks[0]
            for start in range(first - first % step, stop, step):
                part = slice(max(start, first), min(start + step, stop))
                yield from zip(numbers[part].tolist(), np.asarray(windows[part]), strict=True)

    def _open(self, shard: Shard) -> tuple[np.ndarray, zarr.Array]:
        try:
            group = zarr.open_group(self._place(shard), mode="r")
            numbers, windows = group["numbers"], group["windows"]
        except (FileNotFoundError, KeyError) as error:
            raise ShardError(f"Shard {shard.name} of {self.root} is missing; materialize the patches again") from error
        if not isinstance(numbers, zarr.Array) or not isinstance(windows, zarr.Array):
            raise ShardError(f"Shard {shard.name} of {self.root} holds groups where arrays should be")
        _refuse_holes(shard, numbers, windows)
        return np.asarray(numbers[:]), windows

    def _place(self, shard: Shard) -> Any:
        if isinstance(self.root, (str, Path)):
            return Path(self.root) / shard.name
        return self.root.fs.get_mapper(f"{self.root.root}/{shard.name}")


def _runs(order: Sequence[int], starts: Collection[int]) -> Iterator[list[int]]:
    """Cut an order of windows where it jumps, or goes from one shard into the next."""
    run: list[int] = []
    for number in order:
        if run and (number != run[-1] + 1 or number in starts):
            yield run
            run = []
        run.append(number)
    if run:
        yield run


def _row(product: str, band: str):  # type: ignore[no-untyped-def]
    row = variable(product, band)
    if row is None or not row.packed:
        raise ShardError(f"Product {product!r} has no packed variable {band!r}, so it cannot go into shards")
    return row


def _describe(made: ShardSet) -> dict[str, Any]:
    """The grid, the windows' places at both resolutions, and the codec."""
    plan, row = made.plan, _row(made.product, made.bands[0])
    return {
        "model": made.model,
        "product": made.product,
        "bands": list(made.bands),
        "dtype": row.disk,
        "nodata": row.nodata,
        "scale": row.scale,
        "offset": row.offset,
        "factor": plan.factor,
        "height": plan.height,
        "width": plan.width,
        "window": list(plan.window),
        "overlap": plan.overlap,
        "border": plan.border,
        "ramp": plan.ramp.value,
        "row_offsets": list(plan.row_offsets),
        "col_offsets": list(plan.col_offsets),
        "row_offsets_result": [offset * plan.factor for offset in plan.row_offsets],
        "col_offsets_result": [offset * plan.factor for offset in plan.col_offsets],
        "shards": [[shard.name, shard.first, shard.stop] for shard in made.shards],
    }


def _parse(index: Mapping[str, Any]) -> dict[str, Any]:
    plan = Plan(
        height=index["height"],
        width=index["width"],
        window=tuple(index["window"]),
        overlap=index["overlap"],
        border=index["border"],
        ramp=Ramp(index["ramp"]),
        factor=index["factor"],
        row_offsets=tuple(index["row_offsets"]),
        col_offsets=tuple(index["col_offsets"]),
    )
    listed = tuple(Shard(*one) for one in index["shards"])
    bands = tuple(index["bands"])
    return {
        "plan": plan,
        "product": index["product"],
        "bands": bands,
        "shards": listed,
        "model": index["model"],
    }


def _refuse_holes(shard: Shard, *arrays: zarr.Array) -> None:
    """Zarr reads a missing chunk as nodata; here each one was written, so a missing one is damage."""
    for array in arrays:
        if array.nchunks_initialized < array.nchunks:
            raise ShardError(
                f"{shard.name}/{array.basename} has {array.nchunks_initialized} of {array.nchunks} chunks; "
                "part of the shard was lost. Materialize the patches again"
            )


def plan_shards(plan: Plan, product: str, bands: tuple[str, ...], target: int | None = None) -> tuple[Shard, ...]:
    """Cut a plan into shards of about `target` bytes of codes (256 MB by default)."""
    itemsize = np.dtype(_row(product, bands[0]).disk).itemsize
    window = len(bands) * plan.window[0] * plan.window[1] * plan.factor**2 * itemsize
    return shards(plan, window) if target is None else shards(plan, window, target)


@dataclass(slots=True)
class ShardWriter:
    """Takes predicted windows one after the other; each shard is written whole, then published."""

    wanted: ShardSet
    """Its root is an existing local folder."""
    shards: Sequence[Shard]
    """Those to write, ascending."""
    occupied: Sequence[int]
    """Numbers of the windows with a valid pixel, ascending; only these are predicted and stored."""
    publish: Publish
    _waiting: list[_OpenShard] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._waiting = [_OpenShard(self.wanted, shard, within(shard, self.occupied)) for shard in self.shards]
        self._publish_whole()

    @property
    def numbers(self) -> list[int]:
        """The windows that are still to come, in the order in which `add` takes them."""
        return [number for shard in self._waiting for number in shard.numbers[shard.held :]]

    def add(self, number: int, codes: np.ndarray) -> None:
        """Take the next window: codes (bands, height, width).

        Raises:
            ShardError: another window was to come.
        """
        if not self._waiting or self._waiting[0].next != number:
            expected = self._waiting[0].next if self._waiting else "no further window"
            raise ShardError(f"Expected the window {expected}, received {number}")
        self._waiting[0].add(codes)
        self._publish_whole()

    def _publish_whole(self) -> None:
        while self._waiting and self._waiting[0].whole:
            finished = self._waiting.pop(0)
            finished.close()
            self.publish(finished.shard.name)


def within(shard: Shard, occupied: Sequence[int]) -> list[int]:
    """Those of the ascending numbers that lie in a shard."""
    return list(occupied[bisect_left(occupied, shard.first) : bisect_left(occupied, shard.stop)])


def write_index(made: ShardSet, publish: Publish) -> None:
    """Write what `ShardSet.open` reads; to be called when every shard is published."""
    (Path(made.root) / INDEX).write_text(json.dumps(_describe(made), indent=1))
    publish(INDEX)


class _OpenShard:
    """A shard under construction: windows gather to one chunk, then the chunk is written."""

    def __init__(self, wanted: ShardSet, shard: Shard, numbers: list[int]) -> None:
        self.shard, self.numbers, self.held = shard, numbers, 0
        self._wanted = wanted
        self._gathered: list[np.ndarray] = []
        self._array: zarr.Array | None = None

    @property
    def next(self) -> int:
        return self.numbers[self.held]

    @property
    def whole(self) -> bool:
        return self.held == len(self.numbers)

    def add(self, codes: np.ndarray) -> None:
        self._gathered.append(codes)
        self.held += 1
        if self._array is None:
            self._array = self._create()
        if len(self._gathered) == self._array.chunks[0] or self.whole:
            self._array[self.held - len(self._gathered) : self.held] = np.stack(self._gathered)
            self._gathered = []

    def close(self) -> None:
        if self._array is None:
            self._create()

    def _create(self) -> zarr.Array:
        wanted, plan = self._wanted, self._wanted.plan
        row = _row(wanted.product, wanted.bands[0])
        shape = len(wanted.bands), plan.window[0] * plan.factor, plan.window[1] * plan.factor
        step = max(1, CHUNK_BYTES // (int(np.prod(shape)) * np.dtype(row.disk).itemsize))
        group = zarr.open_group(Path(wanted.root) / self.shard.name, mode="w", zarr_format=3)
        group.create_array(
            "numbers",
            data=np.array(self.numbers, np.int64),
            dimension_names=("window",),
            config={"write_empty_chunks": True},
        )
        return group.create_array(
            "windows",
            shape=(len(self.numbers), *shape),
            chunks=(step, *shape),
            dtype=row.disk,
            fill_value=row.nodata,
            dimension_names=("window", "band", "y", "x"),
            compressors=(BloscCodec(cname="lz4", clevel=1, shuffle="bitshuffle"), Crc32cCodec()),
            config={"write_empty_chunks": True},
        )
