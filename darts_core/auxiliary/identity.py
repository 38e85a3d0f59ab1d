"""What auxiliary data is made of, for the identity of the products that use it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from darts_core.auxiliary.sources import AuxiliaryError, AuxiliarySources, name_of, open_raster

_HASHED_BYTES = 256 * 2**20


def fingerprint(sources: AuxiliarySources) -> dict[str, str]:
    """What the auxiliary data is made of: one digest for each configured source, for the identity of products.

    Covers every file behind the raster (a VRT's tiles, sidecars): name, size and content; above 256 MB, and for
    remote files, the modification time or ETag stands for the content.

    Raises:
        AuxiliaryError: a source that cannot be opened.
    """
    configured = {"dem": sources.dem, "trends": sources.trends}
    return {name: _digest(url) for name, url in configured.items() if url is not None}


def _digest(url: str) -> str:
    with open_raster(url) as raster:
        files = sorted(set(raster.files)) or [url]
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{name_of(file)}\0{_identity(file)}\0".encode())
    return digest.hexdigest()


def _identity(file: str) -> str:
    path = Path(file)
    if not path.is_file():
        return _remote_identity(file)
    size = path.stat().st_size
    if size > _HASHED_BYTES:
        return f"{size} bytes, modified {path.stat().st_mtime_ns}"
    with path.open("rb") as opened:
        return f"{size} bytes, sha256 {hashlib.file_digest(opened, 'sha256').hexdigest()}"


def _remote_identity(file: str) -> str:
    """Size and ETag, or modification time, as the file system that holds `file` reports them."""
    import fsspec

    vsi = {"/vsicurl/": "", "/vsis3/": "s3://", "/vsizip/": "", "/vsigs/": "gs://"}
    address = file
    for prefix, scheme in vsi.items():
        if address.startswith(prefix):
            address = scheme + address.removeprefix(prefix)
    archive = address.split(".zip")[0] + ".zip" if ".zip/" in address else address
    if Path(archive).is_file():
        return _identity(archive)
    try:
        system, path = fsspec.core.url_to_fs(archive)
        info = system.info(path)
    except Exception as error:
        raise AuxiliaryError(
            f"Auxiliary file {file} cannot be identified ({type(error).__name__}: {error}). "
            "Check the address and the credentials of the store"
        ) from error
    stamp = info.get("ETag") or info.get("mtime") or info.get("LastModified") or info.get("created")
    return f"{info.get('size')} bytes, {stamp}"
