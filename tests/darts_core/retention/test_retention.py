"""What may go goes, and nothing else: on a folder and on S3."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from darts_core.retention import Kind, RetentionError, find_removable, note_made_from, remove
from darts_core.store import JOBS, STAGING, Store

MONTH = timedelta(days=30)
LATER = datetime.now(UTC) + timedelta(days=31)
KEY = "T08WMA_20230801T000000_S2A"


@pytest.fixture(autouse=True)
def own_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Downloads of other stores of this machine are none of a test's business."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def write(store: Store, asset: str, version: str, *made_from: str, partition: str = KEY, commit: bool = True) -> None:
    note_made_from(store, asset, partition, version, {str(n): name for n, name in enumerate(made_from)})
    with store.draft(asset, partition, version) as draft:
        (draft.folder / "part").mkdir()
        (draft.folder / "part" / "0").write_bytes(b"x" * 100)
        if commit:
            draft.commit()
        else:
            draft.publish("part")


def names(store: Store, now: datetime = LATER, **options: bool) -> set[str]:
    found = find_removable(store, MONTH, now=now, **options)
    return {f"{one.kind}:{one.product[2]}" for one in found if one.product}


def test_what_another_replaced_long_ago_goes_and_the_current_stays(store: Store) -> None:
    write(store, "raw_scene", "r1")
    write(store, "raw_scene", "r2")
    assert names(store, now=datetime.now(UTC)) == set()
    (only,) = find_removable(store, MONTH, now=LATER)
    assert (only.kind, only.product) == (Kind.SUPERSEDED, ("raw_scene", KEY, "r1"))
    assert only.size >= 100
    assert remove(store, only)
    assert store.committed("raw_scene", KEY, "r1") is None
    assert store.current("raw_scene", KEY).version == "r2"
    store.current("raw_scene", KEY).verify()
    assert names(store) == set()


def test_what_a_current_product_was_made_from_stays_unless_asked(store: Store) -> None:
    write(store, "raw_scene", "r1")
    write(store, "preprocessed", "p1", "r1")
    write(store, "raw_scene", "r2")
    assert names(store) == set()
    assert names(store, also_made_from=True) == {"superseded:r1"}
    write(store, "preprocessed", "p2", "r2")
    assert names(store) == {"superseded:r1", "superseded:p1"}


def test_what_a_release_was_made_from_stays(store: Store) -> None:
    write(store, "raw_scene", "r1")
    write(store, "slump_polygons", "s1", "r1")
    write(store, "slump_dataset", "d1", "s1", partition="2023")
    write(store, "slump_polygons", "s2", "r1")
    assert names(store) == set()
    write(store, "slump_dataset", "d2", "s2", partition="2023")
    assert names(store) == {"superseded:s1", "superseded:d1"}


def test_a_model_stays_while_something_was_made_with_it(store: Store) -> None:
    write(store, "segmentation_model", "m1", partition="unet")
    digest = store.current("segmentation_model", "unet").manifest.objects["part/0"].sha256
    with store.draft("segmentation_model", "unet", "m2") as draft:
        note_made_from(store, "segmentation_model", "unet", "m2", {})
        (draft.folder / "other").write_bytes(b"y")
        draft.commit()
    assert names(store) == {"superseded:m1"}
    write(store, "segmentation_probabilities", "s1", digest)
    assert names(store) == set()


def test_what_is_unfinished_goes_when_it_is_old(store: Store) -> None:
    write(store, "raw_scene", "r1")
    write(store, "raw_scene", "r2", commit=False)
    assert names(store, now=datetime.now(UTC)) == set()
    assert names(store) == {"unfinished:r2"}
    (one,) = find_removable(store, MONTH, now=LATER)
    write(store, "raw_scene", "r2")  # the writer came back
    assert not remove(store, one)
    assert store.current("raw_scene", KEY).version == "r2"


def test_what_became_current_again_stays(store: Store) -> None:
    write(store, "raw_scene", "r1")
    first = store.current("raw_scene", KEY)
    write(store, "raw_scene", "r2")
    (one,) = find_removable(store, MONTH, now=LATER)
    store.promote(first)
    assert not remove(store, one)
    store.current("raw_scene", KEY).verify()


def test_where_it_is_not_known_what_a_product_was_made_from_nothing_goes(store: Store) -> None:
    write(store, "raw_scene", "r1")
    write(store, "raw_scene", "r2")
    with store.draft("preprocessed", KEY, "p1") as draft:
        (draft.folder / "part").write_text("made before the record was kept")
        draft.commit()
    with pytest.raises(RetentionError, match="preprocessed of T08WMA"):
        find_removable(store, MONTH, now=LATER)
    assert names(store, also_made_from=True) == {"superseded:r1"}


def test_a_pointer_that_is_lost_costs_no_version(store: Store) -> None:
    write(store, "raw_scene", "r1")
    store.fs.rm_file(store.path("raw_scene", KEY, "current.json"))
    assert names(store) == set()


def test_less_than_a_day_is_refused(store: Store) -> None:
    with pytest.raises(RetentionError, match="1 day"):
        find_removable(store, timedelta(hours=1))


def test_what_was_laid_for_a_job_that_nobody_waits_for_goes(store: Store) -> None:
    for name in ("job.json", "output.log"):
        store.write_bytes(f"{store.base}/{JOBS}/sr-1234/{name}", b"x" * 10)
    assert find_removable(store, MONTH) == []
    (found,) = find_removable(store, MONTH, now=LATER)
    assert (found.kind, found.size) == (Kind.JOB, 20)
    assert remove(store, found)
    assert store.sizes(f"{store.base}/{JOBS}") == {}


def test_left_staging_and_downloads_go(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    left = tmp_path / "store" / STAGING / "elsewhere+1+a"
    fetched = tmp_path / "darts-fetched" / "digest"
    for folder in (left, fetched):
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"x" * 10)
    assert find_removable(store, MONTH) == []
    found = find_removable(store, MONTH, now=LATER)
    assert {(one.kind, one.size) for one in found} == {(Kind.STAGING, 10), (Kind.DOWNLOAD, 10)}
    assert all(remove(store, one) for one in found)
    assert not left.exists()
    assert not fetched.exists()
