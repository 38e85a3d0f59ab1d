"""Where GDAL finds a stored raster, on a disk or in an object store."""

from __future__ import annotations

from urllib.parse import urlsplit

from darts_core.store import Store, Version


def gdal_path(version: Version, name: str) -> str:
    """What GDAL opens for an object of a version; see `gdal_options`."""
    return f"{'' if version.store.local else '/vsis3/'}{version.path(name)}"


def gdal_options(store: Store) -> dict[str, str]:
    """How GDAL reaches the store; it finds the credentials where the store does, in the environment or a profile."""
    if store.local:
        return {}
    # without the first, GDAL lists the folder of every file that it opens
    options = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
    if "endpoint_url" in store.options:
        endpoint = urlsplit(store.options["endpoint_url"])
        options |= {
            "AWS_S3_ENDPOINT": endpoint.netloc + endpoint.path.rstrip("/"),
            "AWS_HTTPS": "YES" if endpoint.scheme == "https" else "NO",
            "AWS_VIRTUAL_HOSTING": "FALSE",
        }
    return options
