"""Checkpoints and reports: files of their own format."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.conformance import IOManagerConformance, loaded, materialized

from darts_core.store import MissingProduct, Store
from io_managers.base import Made
from io_managers.files import FileIOManager, StoredFile


class TestCheckpoint(IOManagerConformance):
    """A checkpoint with its metrics beside it."""

    manager_class = FileIOManager
    contract = ".pt"

    def value(self, number: int) -> Callable[[Path], None]:
        return self._writing(number, lambda: None)

    def failing(self, then: Callable[[], None]) -> Callable[[Path], None]:
        return self._writing(2, then)

    def _writing(self, number: int, then: Callable[[], None]) -> Callable[[Path], None]:
        def write(folder: Path) -> None:
            with open(folder / "tiny.pt", "wb") as file:
                file.write(bytes([number]) * 100)
                file.flush()
                then()
                file.write(bytes([number]) * 100)
            (folder / "tiny.json").write_text(json.dumps({"iou": number / 10}))

        return write

    def assert_same(self, read: StoredFile, number: int) -> None:
        assert read.path.read_bytes() == bytes([number]) * 200
        assert read.path.name == "tiny.pt", "some loaders go by the suffix"
        assert json.loads(read.beside(".json").read_text()) == {"iou": number / 10}


def test_a_report_is_a_product_of_one_file(store: Store) -> None:
    manager = TestCheckpoint().manager(store)

    def write(folder: Path) -> None:
        (folder / "report.json").write_text('{"iou": 0.5}')

    materialized(manager, ".json", Made("v1", write, lambda read: json.loads(read.path.read_text())))
    assert loaded(manager, ".json").path.read_text() == '{"iou": 0.5}'
    assert store.current("product", store.partitions("product")[0]).manifest.summary == {"iou": 0.5}


def test_a_file_that_is_not_there_is_named(store: Store) -> None:
    case = TestCheckpoint()
    case.make(store, "v1", 1)
    with pytest.raises(MissingProduct, match=r"expected one file \*\.onnx, there are none among tiny\.json, tiny\.pt"):
        case.read(store).beside(".onnx")
    with pytest.raises(MissingProduct, match=r"there are tiny\.json, tiny\.pt among"):
        case.read(store).beside("")
