"""The store on S3 when network and service fail: a version is whole or absent, and the error says what to do."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.faulty_s3 import FaultyS3, Kind, faulty
from support.stored import content, make

import darts_core.remote
import darts_core.web
from darts_core import objectstore
from darts_core.store import DamagedProduct, Store, StoreError, StoreUnavailable

EVERY_REQUEST: tuple[Kind, ...] = ("500", "503", "reset", "lost answer", "slow")


@pytest.fixture
def proxy(
    s3: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[FaultyS3]:
    """A proxy in front of the server; time-outs of a second where it is slow, and nothing that was fetched before."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    slow = "slow" in request.node.name
    if slow:
        monkeypatch.setattr(darts_core.web, "TIMEOUT", 1.0)
    monkeypatch.setattr(darts_core.remote, "_ATTEMPTS", 3)
    monkeypatch.setattr(darts_core.remote, "_REPEATS", 1 if slow else 2)
    with faulty(s3, delay=1.5) as started:
        yield started


@pytest.fixture
def store(proxy: FaultyS3) -> Store:
    """An empty store behind the proxy."""
    bucket = f"s3://test-{uuid.uuid4().hex}"
    made = Store(bucket, {"endpoint_url": proxy.url})
    made.fs.mkdir(bucket)
    return made


@pytest.mark.parametrize("kind", EVERY_REQUEST)
def test_a_fault_that_passes_is_not_noticed(kind: Kind, store: Store, proxy: FaultyS3) -> None:
    make(store, "v1", a="old")
    for method in ("PUT", "GET"):
        proxy.fail(kind, method=method, times=2)
    version = make(store, "v2", a="new", b="more")
    assert (version.version, content(store.current("asset", "partition"), "a")) == ("v2", "new")
    version.verify()


@pytest.mark.parametrize("kind", [*EVERY_REQUEST, "cut request"])
@pytest.mark.parametrize("step", ["v2/a", "v2/manifest.json", "current.json"])
def test_a_fault_that_stays_leaves_the_old_version_whole(kind: Kind, step: str, store: Store, proxy: FaultyS3) -> None:
    make(store, "v1", a="old")
    proxy.fail(kind, method="PUT", part=step)
    with pytest.raises(StoreUnavailable, match=f"at {proxy.url} does not answer as it should, also after retries"):
        make(store, "v2", a="new")
    proxy.heal()
    # a lost answer has done what it was asked, and then the new version is whole
    now = store.current("asset", "partition")
    assert (now.version, content(now, "a")) in [("v1", "old"), ("v2", "new")]
    now.verify()
    make(store, "v2", a="new")
    assert content(store.current("asset", "partition"), "a") == "new"


def test_a_body_that_breaks_off_is_asked_for_again(store: Store, proxy: FaultyS3) -> None:
    version = make(store, "v1", a="x" * 100_000)
    proxy.fail("cut answer", method="GET", part="v1/a", times=1)
    assert content(version, "a") == "x" * 100_000
    proxy.fail("cut answer", method="GET", part="v1/a")
    with pytest.raises(StoreUnavailable, match="does not answer as it should"):
        version.fetch("a")
    proxy.heal()
    assert version.fetch("a").read_text() == "x" * 100_000


def test_a_large_object_goes_in_parts_and_a_broken_part_goes_again_alone(
    store: Store, proxy: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = 5 * 2**20  # the least of S3
    monkeypatch.setattr(objectstore, "PART", part)
    data = os.urandom(3 * part + 17)
    proxy.fail("cut request", method="PUT", part="partNumber=2", times=1)
    with store.draft("asset", "partition", "v1") as draft:
        (draft.folder / "large").write_bytes(data)
        version = draft.commit()
    assert proxy.count("PUT", "partNumber=2") == 2
    assert proxy.count("PUT", "partNumber=1") == 1
    proxy.seen.clear()
    proxy.fail("cut answer", method="GET", part="v1/large", times=1)
    assert version.fetch("large").read_bytes() == data
    assert proxy.count("GET", "v1/large") == 4 + 1


def test_a_part_that_never_comes_through_leaves_no_object(
    store: Store, proxy: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = 5 * 2**20
    monkeypatch.setattr(objectstore, "PART", part)
    proxy.fail("reset", method="PUT", part="partNumber=2")
    with pytest.raises(StoreUnavailable), store.draft("asset", "partition", "v1") as draft:
        (draft.folder / "large").write_bytes(bytes(2 * part + 1))
        draft.commit()
    assert store.sizes(store.path("asset", "partition")) == {}
    assert store.fs.list_multipart_uploads(store.base) == [], "nothing is kept, and paid for, that nobody sees"


def test_a_listing_that_lags_behind_is_not_believed(store: Store, proxy: FaultyS3) -> None:
    make(store, "v1", a="old")
    proxy.listing_lags = True
    with store.draft("asset", "partition", "v2") as draft:
        for name in "ab":
            (draft.folder / name).write_text(name)
        draft.publish("a")
        version = draft.commit()
    assert set(version.manifest.objects) == {"a", "b"}
    assert store.current("asset", "partition").version == "v2"
    store.fs.rm(version.path("b"))
    with pytest.raises(DamagedProduct, match="b is missing"):
        store.current("asset", "partition")


def test_a_service_that_cannot_be_reached_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch, s3: str) -> None:
    monkeypatch.setattr(darts_core.remote, "_ATTEMPTS", 2)
    with pytest.raises(
        StoreUnavailable, match=r"The store s3://b/p at http://127\.0\.0\.1:1 does not answer"
    ) as raised:
        Store("s3://b/p", {"endpoint_url": "http://127.0.0.1:1"}).current("asset", "partition")
    assert "Check the address (s3_endpoint)" in str(raised.value)


def test_a_service_that_dies_between_two_parts_is_an_error_and_then_the_rest_is_made(
    store: Store, proxy: FaultyS3
) -> None:
    with pytest.raises(StoreUnavailable), store.draft("asset", "partition", "v1") as draft:
        for name in "ab":
            (draft.folder / name).write_text(name)
        draft.publish("a")
        proxy.fail("reset")
        draft.publish("b")
    proxy.heal()
    with store.draft("asset", "partition", "v1") as draft:
        assert set(draft.published()) == {"a"}
        (draft.folder / "b").write_text("b")
        draft.commit().verify()


def test_a_bucket_that_is_not_there_is_told_from_a_product_that_is_not(proxy: FaultyS3) -> None:
    with pytest.raises(StoreError, match=r"has no such bucket. Create it"):
        make(Store("s3://never-made", {"endpoint_url": proxy.url}), "v1", a="x")


def test_without_credentials_it_says_which_are_missing(
    proxy: FaultyS3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    with pytest.raises(StoreError, match=r"without credentials. Set AWS_ACCESS_KEY_ID"):
        Store(f"s3://{uuid.uuid4().hex}", {"endpoint_url": proxy.url}).current("asset", "partition")


def test_a_service_without_conditional_writes_still_takes_versions(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = type(store.fs).pipe_file

    def refuse(self: object, path: str, data: bytes, mode: str = "overwrite") -> None:
        if mode == "create":
            raise OSError(38, "A header you provided implies functionality that is not implemented")
        plain(self, path, data)

    monkeypatch.setattr(type(store.fs), "pipe_file", refuse)
    make(store, "v1", a="one").verify()
    assert content(store.current("asset", "partition"), "a") == "one"


def test_a_fetched_object_is_not_taken_from_a_folder_of_somebody_else(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    version = make(store, "v1", a="one")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / f"darts-fetched-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(StoreError, match="belongs to somebody else"):
        version.fetch("a")


def test_a_full_disk_while_fetching_is_told_as_one(
    store: Store, monkeypatch: pytest.MonkeyPatch, small_disk: Path
) -> None:
    with store.draft("asset", "partition", "v1") as draft:
        (draft.folder / "large").write_bytes(os.urandom(20 * 2**20))
        version = draft.commit()
    monkeypatch.setattr("tempfile.tempdir", str(small_disk))
    with pytest.raises(StoreError, match="was not fetched: no space left on the disk of"):
        version.fetch("large")
    assert not [file for file in small_disk.rglob("*") if file.is_file()]
