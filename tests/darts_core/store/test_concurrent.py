"""Processes that write and read one partition at the same time, without locks, on a folder and on S3."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.stored import content, fill, make

from darts_core.manifests import MOST_OBJECTS
from darts_core.store import DamagedProduct, Draft, Manifest, Store, StoreError, Version

WRITER = """
import json, sys
from darts_core.store import Store
root, options, version, text, count, rounds = sys.argv[1:]
store = Store(root, json.loads(options))
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(rounds)):
    name = version.replace("#", str(number))
    with store.draft("asset", "partition", name) as draft:
        for part in range(int(count)):
            (draft.folder / f"part-{part}").write_text(f"{text} {part}" * 50)
        draft.publish("part-0")
        made = draft.commit()
    print(made.version, flush=True)
"""


def start_together(store: Store, *writers: tuple[str, str, int]) -> list[subprocess.Popen[str]]:
    """Processes that begin to commit at one moment; each by version (# is the round), text and rounds."""
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                WRITER,
                store.root,
                json.dumps(dict(store.options)),
                version,
                text,
                "4",
                str(rounds),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for version, text, rounds in writers
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return processes


def test_processes_that_make_the_same_version_end_in_the_same_bytes(store: Store) -> None:
    for process in start_together(store, *[("same-#", "text", 6)] * 3):
        printed, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        assert printed.split() == [f"same-{number}" for number in range(6)]
    for number in range(6):
        version = store.committed("asset", "partition", f"same-{number}")
        assert version is not None
        version.verify()
        names = set(store.sizes(version.path()))
        assert names == {"manifest.json", *(f"part-{part}" for part in range(4))}, "no records of parts are left"


def test_of_processes_that_make_different_versions_one_is_current_and_readers_see_whole_ones(store: Store) -> None:
    make(store, "before", **{f"part-{part}": f"before {part}" * 50 for part in range(4)})
    seen: list[str] = []
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            version = store.current("asset", "partition")
            texts = {content(version, f"part-{part}").split(" ")[0] for part in range(4)}
            assert len(texts) == 1, "parts of two versions"
            seen.append(version.version)

    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            read()
        except BaseException as error:
            failures.append(error)

    reader = threading.Thread(target=guarded)
    reader.start()
    processes = start_together(store, ("one-#", "one", 8), ("two-#", "two", 8))
    for process in processes:
        process.communicate(timeout=120)
        assert process.returncode == 0
    ended.set()
    reader.join()
    assert not failures
    assert len(set(seen)) > 2, "the reader saw versions come and go"
    current = store.current("asset", "partition")
    assert current.version in ("one-7", "two-7")
    current.verify()


def test_the_first_manifest_of_a_version_stands(store: Store) -> None:
    with store.draft("asset", "partition", "v1") as slow:
        fill(slow, a="one")
        first = make(store, "v1", a="one")
        second = slow.commit(lambda version: {"made": "later"})
    assert second.manifest == first.manifest
    assert store.current("asset", "partition").manifest == first.manifest


def test_other_bytes_of_the_same_version_are_settled_by_whose_are_there(store: Store) -> None:
    """Training on a device need not give the same bytes twice."""
    with store.draft("asset", "partition", "v1") as slow:
        fill(slow, a="two")
        make(store, "v1", a="one")
        version = slow.commit()
    version.verify()
    assert content(store.current("asset", "partition"), "a") == "two"
    store.current("asset", "partition").verify()


def test_a_version_that_two_writers_mixed_is_refused_and_made_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    establish = Draft._establish

    def overtaken(self: Draft, ours: Version) -> Version:
        monkeypatch.setattr(Draft, "_establish", establish)
        # between our objects and our manifest, another has put one object of its own and its manifest
        other = make(store, "v1", a="two", b="two")
        store.fs.pipe_file(other.path("b"), b"one")
        return establish(self, ours)

    monkeypatch.setattr(Draft, "_establish", overtaken)
    with pytest.raises(StoreError, match="two runs wrote different bytes"):
        make(store, "v1", a="one", b="one")
    with pytest.raises(DamagedProduct, match="materialize it again"):
        store.current("asset", "partition")
    make(store, "v1", a="one", b="one").verify()


@pytest.mark.parametrize(
    "name",
    ["../up", "/etc/passwd", "a/../../b", "a//b", "", ".", "a\\b", "a\x00b", "C:/x", "x" * 1001, "a/" + "b" * 201],
)
def test_a_manifest_whose_objects_lead_out_of_their_version_is_refused(store: Store, name: str) -> None:
    version = make(store, "v1", a="one")
    written = version.manifest.model_dump()
    written["objects"] = {name: written["objects"]["a"]}
    store.write_bytes(version.path("manifest.json"), json.dumps(written).encode())
    with pytest.raises(DamagedProduct, match="is no manifest"):
        store.current("asset", "partition")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"partition": "other"}, "is the manifest of asset of other"),
        ({"objects": {"a": {"size": -1, "sha256": "0" * 64}}}, "is no manifest"),
        ({"objects": {"a": {"size": 1, "sha256": "../../x"}}}, "is no manifest"),
        ({"surprise": 1}, "is no manifest"),
    ],
)
def test_a_manifest_of_something_else_is_refused_and_made_again(store: Store, change: dict, words: str) -> None:
    version = make(store, "v1", a="one")
    written = {**version.manifest.model_dump(), **change}
    store.write_bytes(version.path("manifest.json"), json.dumps(written).encode())
    with pytest.raises(DamagedProduct, match=words):
        store.current("asset", "partition")
    assert store.committed("asset", "partition", "v1") is None
    make(store, "v1", a="one")
    store.current("asset", "partition").verify()


@pytest.mark.parametrize("text", ['{"version": "../../elsewhere"}', "[]", '{"version": 3', "[" * 100_000, "{}"])
def test_a_pointer_that_leads_elsewhere_is_refused(store: Store, text: str) -> None:
    make(store, "v1", a="one")
    store.write_bytes(store.path("asset", "partition", "current.json"), text.encode())
    with pytest.raises(StoreError):
        store.current("asset", "partition")


def test_a_manifest_has_no_more_objects_than_a_product_can_have() -> None:
    assert Manifest.model_json_schema()["properties"]["objects"]["maxProperties"] == MOST_OBJECTS


FULL = """
import sys
from darts_core.store import Store
store = Store(sys.argv[1])
with store.draft("asset", "partition", "v2") as draft:
    (draft.folder / "a").write_bytes(bytes(2**20))
    draft.publish("a")
    (draft.folder / "b").write_bytes(bytes(64 * 2**20))
    draft.commit()
"""


def test_a_full_disk_says_so_and_leaves_the_old_version(small_disk: Path) -> None:
    store = Store(str(small_disk / "products"))
    make(store, "v1", a="old")
    ended = subprocess.run([sys.executable, "-c", FULL, store.root], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "asset of partition was not stored: no space left on the disk of" in ended.stderr
    assert "Make room" in ended.stderr.splitlines()[-1]
    assert content(store.current("asset", "partition"), "a") == "old"
    assert not list((small_disk / "products" / ".staging").iterdir()), "what was staged makes room"
    with store.draft("asset", "partition", "v2") as draft:
        assert set(draft.published()) == {"a"}, "what was published whole stays"
        (draft.folder / "b").write_bytes(bytes(2**20))
        draft.commit().verify()


@pytest.mark.parametrize("text", ["{", "[1]", '{"../up": {"size": 1, "sha256": "%s"}}' % ("0" * 64), '{"a": 3}'])
def test_a_record_of_a_part_that_is_none_counts_as_absent(store: Store, text: str) -> None:
    with store.draft("asset", "partition", "v1") as draft:
        fill(draft, a="one")
        draft.publish("a")
    store.write_bytes(store.path("asset", "partition", "v1", ".parts", "a.json"), text.encode())
    with store.draft("asset", "partition", "v1") as draft:
        assert draft.published() == {}
