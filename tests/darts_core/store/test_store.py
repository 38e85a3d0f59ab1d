"""The store: one whole version or none, on a local folder and on S3 alike."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.stored import content, fill, make

from darts_core.store import (
    STAGING,
    DamagedProduct,
    MissingProduct,
    Store,
    StoreError,
    check_name,
    identity,
)


def test_what_was_committed_is_read_back(store: Store) -> None:
    with store.draft("asset", "partition", "v1") as draft:
        fill(draft, a="one", folder__b="two")
        draft.commit(lambda version: {"count": len(version.manifest.objects)})
    version = store.current("asset", "partition")
    assert (version.version, content(version, "a"), content(version, "folder/b")) == ("v1", "one", "two")
    assert version.manifest.summary == {"count": 2}
    version.verify()


def test_nothing_made_says_what_to_materialize(store: Store) -> None:
    with pytest.raises(MissingProduct, match="materialize asset for this partition"):
        store.current("asset", "partition")


def test_a_new_version_replaces_the_old_one_in_one_step(store: Store) -> None:
    make(store, "v1", a="old")
    with store.draft("asset", "partition", "v2") as draft:
        fill(draft, a="new", b="more")
        draft.publish("b")
        assert content(store.current("asset", "partition"), "a") == "old"
        draft.commit()
    assert content(store.current("asset", "partition"), "a") == "new"
    assert store.committed("asset", "partition", "v1") is not None


def test_an_error_while_writing_leaves_the_old_version(store: Store) -> None:
    make(store, "v1", a="old")
    with pytest.raises(ZeroDivisionError), store.draft("asset", "partition", "v2") as draft:
        fill(draft, a="half")
        draft.publish("a")
        raise ZeroDivisionError
    assert content(store.current("asset", "partition"), "a") == "old"
    assert store.committed("asset", "partition", "v2") is None


def test_a_summary_that_fails_leaves_the_old_version(store: Store) -> None:
    make(store, "v1", a="old")
    with pytest.raises(ZeroDivisionError), store.draft("asset", "partition", "v2") as draft:
        fill(draft, a="new")
        draft.commit(lambda version: {"share": 1 / 0})
    assert store.current("asset", "partition").version == "v1"


def test_an_empty_version_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="nothing was written"), store.draft("asset", "partition", "v1") as draft:
        draft.commit()


def test_what_an_interrupted_attempt_published_is_not_made_again(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt), store.draft("asset", "partition", "v1") as draft:
        fill(draft, one__x="1", two__x="2")
        draft.publish("one")
        raise KeyboardInterrupt
    with store.draft("asset", "partition", "v1") as draft:
        assert set(draft.published()) == {"one"}
        fill(draft, two__x="2")
        version = draft.commit()
    assert set(version.manifest.objects) == {"one/x", "two/x"}
    names = store.sizes(store.path("asset", "partition", "v1"))
    assert set(names) == {"one/x", "two/x", "manifest.json"}, "the records of parts are gone once committed"


def test_a_published_part_that_was_damaged_is_made_again(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt), store.draft("asset", "partition", "v1") as draft:
        fill(draft, one__x="1", two__x="2")
        draft.publish("one")
        draft.publish("two")
        raise KeyboardInterrupt
    store.fs.rm(store.path("asset", "partition", "v1", "one", "x"))
    with store.draft("asset", "partition", "v1") as draft:
        assert set(draft.published()) == {"two"}


@pytest.mark.parametrize(
    ("damage", "words"),
    [(None, "folder/b is missing"), (b"tw", "folder/b has 2 bytes, not 3")],
    ids=["deleted", "truncated"],
)
def test_damage_is_named(store: Store, damage: bytes | None, words: str) -> None:
    version = make(store, "v1", a="one", folder__b="two")
    if damage is None:
        store.fs.rm(version.path("folder/b"))
    else:
        store.fs.pipe_file(version.path("folder/b"), damage)
    with pytest.raises(DamagedProduct, match=words):
        store.current("asset", "partition")


def test_altered_bytes_of_the_same_size_are_found_by_their_checksum(store: Store) -> None:
    version = make(store, "v1", a="one")
    store.fs.pipe_file(version.path("a"), b"two")
    with pytest.raises(DamagedProduct, match="a was altered"):
        store.current("asset", "partition").verify()


def test_a_damaged_version_is_mended_by_making_it_again(store: Store) -> None:
    version = make(store, "v1", a="one", b="two")
    store.fs.rm(version.path("a"))
    make(store, "v1", a="one", b="two")
    store.current("asset", "partition").verify()


def test_an_object_of_an_earlier_version_is_taken_over(store: Store) -> None:
    earlier = make(store, "v1", a="one", b="two")
    with store.draft("asset", "partition", "v2") as draft:
        draft.adopt(earlier, "a")
        fill(draft, c="three")
        later = draft.commit()
    assert set(later.manifest.objects) == {"a", "c"}
    later.verify()
    earlier.verify()


def test_two_writers_of_one_version_lose_nothing(store: Store) -> None:
    """The first to commit clears the records of parts, of which some are the other's."""
    with store.draft("asset", "partition", "v1") as one, store.draft("asset", "partition", "v1") as other:
        fill(one, a="1")
        one.publish("a")
        assert set(other.published()) == {"a"}
        fill(other, b="2")
        other.publish("b")
        other.commit()
        fill(one, b="2")
        one.commit()
    assert set(store.current("asset", "partition").manifest.objects) == {"a", "b"}


def test_the_index_lists_partitions_with_a_current_version(store: Store) -> None:
    assert store.partitions("asset") == []
    for partition in ("b", "a"):
        with store.draft("asset", partition, "v1") as draft:
            fill(draft, x=partition)
            draft.commit()
    with store.draft("asset", "c", "v1") as draft:
        fill(draft, x="unfinished")
        draft.publish("x")
    assert store.partitions("asset") == ["a", "b"]


def test_an_object_is_fetched_to_a_local_file(store: Store) -> None:
    assert make(store, "v1", a="one").fetch("a").read_text() == "one"


def test_manifests_do_not_depend_on_when_they_were_written(store: Store) -> None:
    make(store, "v1", a="one")
    path = store.path("asset", "partition", "v1", "manifest.json")
    first = store.fs.cat_file(path)
    make(store, "v1", a="one")
    assert store.fs.cat_file(path) == first


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "a..b", "ä", "x" * 101, "a b"])
def test_hostile_names_are_refused(store: Store, name: str) -> None:
    with pytest.raises(StoreError, match="is refused"):
        store.path("asset", name)


@given(st.text(alphabet="abcXYZ019_-", min_size=1, max_size=100))
def test_ordinary_names_are_taken(name: str) -> None:
    assert check_name(name) == name


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=4))
def test_identity_depends_on_content_not_on_order(inputs: dict[str, str]) -> None:
    backwards = dict(reversed(inputs.items()))
    same = identity("step", code_version="1", inputs=inputs, parameters={"a": 1, "b": [1.5, None]})
    assert same == identity("step", code_version="1", inputs=backwards, parameters={"b": [1.5, None], "a": 1})
    assert same != identity("step", code_version="2", inputs=inputs, parameters={"a": 1, "b": [1.5, None]})
    assert same != identity("step", code_version="1", inputs=inputs, parameters={"a": 2, "b": [1.5, None]})
    assert same != identity("step", code_version="1", inputs={**inputs, "more!": ""}, parameters={"a": 1})


KILLED_WHILE_WRITING = """
import os, signal, sys
from darts_core.store import Store
with Store(sys.argv[1]).draft("asset", "partition", "v2") as draft:
    (draft.folder / "a").write_text("half")
    draft.publish("a")
    (draft.folder / "b").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_writer_leaves_nothing_visible_and_its_staging_is_swept(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    make(store, "v1", a="old")
    killed = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert content(store.current("asset", "partition"), "a") == "old"
    assert len(os.listdir(tmp_path / STAGING)) == 1
    with store.draft("asset", "partition", "v2") as draft:
        assert set(draft.published()) == {"a"}
    assert os.listdir(tmp_path / STAGING) == []


def test_the_pointer_is_plain_json_that_people_can_read(store: Store) -> None:
    make(store, "v1", a="one")
    assert json.loads(store.fs.cat_file(store.path("asset", "partition", "current.json"))) == {"version": "v1"}
