"""Patch shards: predicted windows, stored once each, so that a killed run goes on where it was.

A shard is a Zarr v3 group with the arrays `windows` (window, band, height, width), codes of the product's disk dtype,
and `numbers` (window,), their numbers in the plan. `index.json` beside the shards holds the plan and the contract.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec

from darts_core.contracts import variable
from darts_core.errors import DartsError
from darts_core.windows import Plan, Ramp, Shard, shards

INDEX = "index.json"
CHUNK_BYTES = 16 * 1024**2

Predict = Callable[[Sequence[int]], Iterator[tuple[int, np.ndarray]]]
"""From numbers of windows to numbers with float32 physical (bands, height, width), in the same order."""
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
        """Open what `write_shards` wrote.

        Raises:
            ShardError: no index there.
        """
        try:
            is_path = isinstance(root, (str, Path))
            text = (Path(root) / INDEX).read_bytes() if is_path else root[INDEX]  # type: ignore[arg-type,index]
        except (FileNotFoundError, KeyError) as error:
            raise ShardError(f"{root} has no {INDEX}, so it holds no finished patch shards") from error
        return cls(root, **_parse(json.loads(text)))

    def read(self, shard: Shard) -> Iterator[tuple[int, np.ndarray]]:
        """Numbers in the plan and codes (bands, height, width) of a shard's windows, ascending.

        Raises:
            ShardError: the shard is missing or a piece of it is.
        """
        try:
            group = zarr.open_group(self._place(shard), mode="r")
            numbers, windows = group["numbers"], group["windows"]
        except (FileNotFoundError, KeyError) as error:
            raise ShardError(f"Shard {shard.name} of {self.root} is missing; materialize the patches again") from error
        if not isinstance(numbers, zarr.Array) or not isinstance(windows, zarr.Array):
            raise ShardError(f"Shard {shard.name} of {self.root} holds groups where arrays should be")
        _refuse_holes(shard, numbers, windows)
        places = np.asarray(numbers[:])
        step = windows.chunks[0]
        for start in range(0, len(places), step):
            codes = np.asarray(windows[start : start + step])
            yield from zip(places[start : start + step].tolist(), codes, strict=True)

    def _place(self, shard: Shard) -> Any:
        if isinstance(self.root, (str, Path)):
            return Path(self.root) / shard.name
        return self.root.fs.get_mapper(f"{self.root.root}/{shard.name}")

    def windows(self) -> Iterator[tuple[int, np.ndarray]]:
        """All windows in the order of the plan, as `read` gives them."""
        for shard in self.shards:
            yield from self.read(shard)


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


def missing_shards(done: Collection[str], planned: Sequence[Shard]) -> list[Shard]:
    """The shards that are still to be computed."""
    return [shard for shard in planned if shard.name not in done]


def plan_shards(plan: Plan, product: str, bands: tuple[str, ...], target: int | None = None) -> tuple[Shard, ...]:
    """Cut a plan into shards of about `target` bytes of codes (256 MB by default)."""
    itemsize = np.dtype(_row(product, bands[0]).disk).itemsize
    window = len(bands) * plan.window[0] * plan.window[1] * plan.factor**2 * itemsize
    return shards(plan, window) if target is None else shards(plan, window, target)


def write_shards(
    wanted: ShardSet,
    predict: Predict,
    occupied: Sequence[int],
    publish: Publish,
    done: Collection[str] = (),
) -> ShardSet:
    """Compute the shards that are not done, each written whole under `wanted.root`, then published.

    Args:
        wanted: root (an existing local folder), plan, contract and shards.
        predict: computes windows; called once a shard.
        occupied: ascending numbers of the windows with a valid pixel; only these are predicted and stored.
        publish: called after each shard, and last with `index.json`.
        done: names that were published before; they are not computed again.
    """
    root = Path(wanted.root)
    for shard in missing_shards(done, wanted.shards):
        numbers = [number for number in occupied if number in shard.windows]
        _write(root / shard.name, wanted, numbers, predict(numbers))
        publish(shard.name)
    if INDEX not in done:
        (root / INDEX).write_text(json.dumps(_describe(wanted), indent=1))
        publish(INDEX)
    return wanted


def _write(path: Path, wanted: ShardSet, numbers: Sequence[int], windows: Iterator[tuple[int, np.ndarray]]) -> None:
    row, plan = _row(wanted.product, wanted.bands[0]), wanted.plan
    shape = len(wanted.bands), plan.window[0] * plan.factor, plan.window[1] * plan.factor
    itemsize = np.dtype(row.disk).itemsize
    step = max(1, CHUNK_BYTES // (int(np.prod(shape)) * itemsize))
    group = zarr.open_group(path, mode="w", zarr_format=3)
    store = group.create_array(
        "windows",
        shape=(len(numbers), *shape),
        chunks=(step, *shape),
        dtype=row.disk,
        fill_value=row.nodata,
        dimension_names=("window", "band", "y", "x"),
        compressors=(BloscCodec(cname="lz4", clevel=1, shuffle="bitshuffle"), Crc32cCodec()),
        config={"write_empty_chunks": True},
    )
    for start in range(0, len(numbers), step):
        expected = list(numbers[start : start + step])
        held = list(islice(windows, len(expected)))
        if [number for number, _ in held] != expected:
            raise ShardError(f"Expected the windows {expected}, predicted {[number for number, _ in held]}")
        store[start : start + len(held)] = np.stack([row.encode(values) for _, values in held])
    group.create_array(
        "numbers",
        data=np.array(numbers, np.int64),
        dimension_names=("window",),
        config={"write_empty_chunks": True},
    )
