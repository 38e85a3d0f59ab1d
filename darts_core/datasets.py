"""Datasets in Zarr v3: written whole, opened lazily, and never with a hole in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import xarray as xr
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.storage import FsspecStore, LocalStore, WrapperStore

from darts_core.contracts import decode
from darts_core.remote import filesystem_options
from darts_core.store import DamagedProduct, Version

GROUP = "data.zarr"
"""Name of the group in which a product lies."""
CHUNK = 1024
"""Pixels a side of one chunk: 2 MB of uint16, one request on an object store."""


def write_zarr(dataset: xr.Dataset, path: Path) -> None:
    """Write a dataset in disk form (codes with CF attributes) as a Zarr v3 group; dask-backed variables stream through.

    Every chunk is written, also an empty one, so that a missing chunk is always damage; each chunk has a checksum.
    """
    chunks = {name: min(size, CHUNK) for name, size in dataset.sizes.items()}
    aligned = dataset.chunk(chunks) if dataset.chunks else dataset
    compressors = (BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"), Crc32cCodec())
    encoding = {
        name: {"chunks": tuple(chunks[dim] for dim in array.dims), "compressors": compressors}
        for name, array in aligned.data_vars.items()
    }
    aligned.drop_encoding().to_zarr(
        path, mode="w", zarr_format=3, consolidated=False, write_empty_chunks=True, encoding=encoding
    )


def open_product(version: Version, contract: str | None) -> xr.Dataset:
    """A committed product, dask-backed, in the memory codec of its contract; its attribute `version` names it."""
    stored = open_zarr(version, GROUP)
    dataset = decode(stored, contract) if contract else stored
    return dataset.assign_attrs(version=version.version)


def open_zarr(version: Version, name: str) -> xr.Dataset:
    """A Zarr group of a committed version, lazily and without CF decoding: codes as they are on disk.

    Raises:
        DamagedProduct: while reading, where a chunk that was committed is not there any more.
    """
    store = version.store
    inner: Any
    if store.local:
        inner = LocalStore(version.path(name), read_only=True)
    else:
        inner = FsspecStore.from_url(
            version.url(name), storage_options=filesystem_options(version.url(), store.options), read_only=True
        )
    return xr.open_zarr(
        _WholeStore(inner, version, name), consolidated=False, mask_and_scale=False, decode_coords="all", chunks={}
    )


class _WholeStore(WrapperStore[Any]):
    """A Zarr store in which an object that the manifest lists cannot be absent.

    Zarr takes an absent chunk for one full of the fill value; here it is damage.
    """

    def __init__(self, store: Any, version: Version, group: str) -> None:
        super().__init__(store)
        self._version = version
        self._group = group

    async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
        found = await self._store.get(key, *args, **kwargs)
        if found is None and f"{self._group}/{key}" in self._version.manifest.objects:
            manifest = self._version.manifest
            raise DamagedProduct(
                f"{manifest.asset} of {manifest.partition}, version {manifest.version}: {self._group}/{key} "
                "disappeared while it was read. Materialize it again; that writes what is missing"
            )
        return found
