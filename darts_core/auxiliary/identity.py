"""What auxiliary data is made of, for the identity of the products that use it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from darts_core.auxiliary import zarrs
from darts_core.auxiliary.rasters import files_of
from darts_core.auxiliary.sources import AuxiliaryError, AuxiliarySources, Where, name_of, parts_of
from darts_core.remote import filesystem, plain_url

_HASHED_BYTES = 256 * 2**20


def fingerprint(sources: AuxiliarySources) -> dict[str, str]:
    """What the auxiliary data is made of: one digest for each configured source, for the identity of products.

    Covers every file behind the rasters (tiles, a VRT's tiles, sidecars): name, size and content; above 256 MB, and
    for remote files, the modification time or ETag stands for the content. Of a Zarr store: its metadata, and size
    and time of all it can list. What is settled for a scene only (epochs, patterns, a catalogue) counts as it is
    written: settle it first (`choose_sources`) where it stands for a scene's product.

    Raises:
        AuxiliaryError: a source that cannot be opened.
    """
    digests = {}
    for name, where in (("dem", sources.dem), ("trends", sources.trends)):
        if isinstance(where, Mapping):
            each = (f"{epoch} {_digest(part, sources.storage_options)}" for epoch, part in sorted(where.items()))
            digests[name] = hashlib.sha256("\0".join(each).encode()).hexdigest()
        elif where is not None:
            digests[name] = _digest(where, sources.storage_options)
    return digests


def identity_of(url: str, storage_options: Mapping[str, Any] | None = None) -> str:
    """Digest of what is behind one raster, 64 hexadecimal digits."""
    return _digest(url, storage_options or {})


def _digest(where: Where, options: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    for url in parts_of(where):
        if url.startswith("stac+") or any(mark in url for mark in "{*"):
            digest.update(url.encode())
        elif zarrs.is_zarr(url):
            digest.update(f"{name_of(url)}\0{zarrs.identity(url, options)}\0".encode())
        else:
            for file in files_of(url, options):
                digest.update(f"{name_of(file)}\0{_identity(file, options)}\0".encode())
    return digest.hexdigest()


def _identity(file: str, options: Mapping[str, Any]) -> str:
    path = Path(file)
    if not path.is_file():
        return _remote_identity(file, options)
    size = path.stat().st_size
    if size > _HASHED_BYTES:
        return f"{size} bytes, modified {path.stat().st_mtime_ns}"
    with path.open("rb") as opened:
        return f"{size} bytes, sha256 {hashlib.file_digest(opened, 'sha256').hexdigest()}"


def _remote_identity(file: str, options: Mapping[str, Any]) -> str:
    """Size and ETag, or modification time, as the file system that holds `file` reports them."""
    address = plain_url(file)
    archive = address.split(".zip")[0] + ".zip" if ".zip/" in address else address
    if Path(archive).is_file():
        return _identity(archive, options)
    try:
        system, path = filesystem(archive, options)
        info = system.info(path)
    except Exception as error:
        raise AuxiliaryError(
            f"Auxiliary file {file} cannot be identified ({type(error).__name__}: {error}). "
            "Check the address and the credentials of the store"
        ) from error
    stamp = info.get("ETag") or info.get("mtime") or info.get("LastModified") or info.get("Last-Modified")
    return f"{info.get('size')} bytes, {stamp}"
