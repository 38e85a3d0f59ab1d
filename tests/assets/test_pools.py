"""A pool for each service, and none for a folder."""

import pytest

from darts_assets.pools import pool_of


@pytest.mark.parametrize(
    ("address", "pool"),
    [
        ("/data/scenes", None),
        ("file:///data/scenes", None),
        ("relative/dem_*.tif", None),
        ("", None),
        (None, None),
        ("s3://bucket/scenes", "service-s3-bucket"),
        ("https://earth.example.org/v1", "service-earth.example.org"),
        ("https://user:secret@host.org:8443/v1", "service-host.org-8443"),
        ("stac+https://host.org/collections/dem", "service-host.org"),
    ],
)
def test_the_pool_is_the_host_or_the_bucket_and_never_a_secret(address: str | None, pool: str | None) -> None:
    assert pool_of(address) == pool
