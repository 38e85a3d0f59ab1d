"""Models that are brought, and models that are trained."""

import hashlib
from pathlib import Path

import pytest

from darts_core.store import Store, StoreError
from resources.models import BUILT_IN_UPSCALERS, ModelError, ModelStore


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for checkpoints that someone brings."""
    made = tmp_path / "checkpoints"
    made.mkdir()
    return made


def bring(folder: Path, name: str, content: bytes = b"brought") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def train(store: Store, asset: str, name: str, content: bytes = b"trained") -> None:
    with store.draft(asset, name, "v1") as draft:
        (draft.folder / f"{name}.pt").write_bytes(content)
        (draft.folder / f"{name}.json").write_text("{}")
        draft.commit()


def test_models_are_those_brought_and_those_trained(store: Store, folder: Path) -> None:
    bring(folder, "b.ckpt"), bring(folder, "notes.txt")
    train(store, "segmentation_model", "a")
    models = ModelStore(checkpoints=str(folder))
    found = models.segmenters(store, [])
    assert [model.name for model in found] == ["a", "b"]
    for model, content in zip(found, (b"trained", b"brought"), strict=True):
        assert model.path.read_bytes() == content
        assert model.digest == hashlib.sha256(content).hexdigest()
    assert models.segmenters(store, ["b"]) == found[1:]
    assert models.segmenters(store, ["b", "a"]) == found, "the order of names changes no identity"


def test_an_unknown_model_is_named_and_so_is_what_there_is(store: Store, folder: Path) -> None:
    bring(folder, "b.pt")
    with pytest.raises(
        ModelError, match=r"no segmentation model c, d; expected a checkpoint \(\*\.pt, \*\.ckpt\).*found b\. "
    ):
        ModelStore(checkpoints=str(folder)).segmenters(store, ["c", "b", "d"])


@pytest.mark.parametrize("exists", [True, False], ids=["empty folder", "no folder"])
def test_no_model_at_all_says_where_to_put_one(store: Store, folder: Path, exists: bool) -> None:
    where = folder if exists else folder / "absent"
    with pytest.raises(
        ModelError, match=f"There is no segmentation model; expected .* in {where} or a trained.*found none"
    ):
        ModelStore(checkpoints=str(where)).segmenters(store, [])


def test_a_training_run_is_a_model_and_another_folder_is_none(store: Store, folder: Path) -> None:
    run = folder / "run-7"
    (run / "checkpoints").mkdir(parents=True)
    bring(run, "config.yml"), bring(run / "checkpoints", "01.pt"), bring(run / "checkpoints", "02.pt", b"last")
    (folder / "notes").mkdir()
    (found,) = ModelStore(checkpoints=str(folder)).segmenters(store, [])
    assert (found.name, found.path) == ("run-7", run)
    bring(run / "checkpoints", "01.pt", b"another")
    assert ModelStore(checkpoints=str(folder)).segmenters(store, []) == [found], "an earlier epoch is not taken"
    bring(run / "checkpoints", "02.pt", b"other")
    assert ModelStore(checkpoints=str(folder)).segmenters(store, []) != [found]


def test_one_name_means_one_model(store: Store, folder: Path) -> None:
    models = ModelStore(checkpoints=str(folder))
    train(store, "segmentation_model", "a")
    bring(folder, "a.pt", b"trained")
    assert [model.name for model in models.segmenters(store, [])] == ["a"], "a copy is the same model"
    bring(folder, "a.ckpt", b"another")
    with pytest.raises(ModelError, match="Two different checkpoints are named a"):
        models.segmenters(store, [])


@pytest.mark.parametrize("name", ["my model.pt", "..pt", "a..b.pt", "é.ckpt", "x" * 101 + ".pt", "-\n.pt"])
def test_a_file_that_cannot_name_a_product_is_refused_by_its_path(store: Store, folder: Path, name: str) -> None:
    path = bring(folder, name)
    with pytest.raises(StoreError, match=r"is refused.*rename what it comes from") as raised:
        ModelStore(checkpoints=str(folder)).segmenters(store, [])
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("name", BUILT_IN_UPSCALERS)
def test_built_in_upscalers_are_named_after_themselves(store: Store, folder: Path, name: str) -> None:
    from darts_core.superresolution import load_upscaler

    source, digest = ModelStore(checkpoints=str(folder), upscaler=name).upscaling(store)
    assert (load_upscaler(source).name, digest) == (name, name)


def test_upscalers_are_found_among_the_trained_and_by_path(store: Store, folder: Path) -> None:
    train(store, "super_resolution_model", "sharp", b"weights")
    path = bring(folder, "other.pt", b"other weights")
    for name, content in (("sharp", b"weights"), (str(path), b"other weights")):
        source, digest = ModelStore(checkpoints=str(folder), upscaler=name).upscaling(store)
        assert Path(source).read_bytes() == content
        assert digest == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("name", ["sharp", "absent.pt", "", "../other"])
def test_an_unknown_upscaler_is_named(store: Store, folder: Path, name: str) -> None:
    with pytest.raises(ModelError, match=r"is neither built in.*nor trained here, nor a model file") as raised:
        ModelStore(checkpoints=str(folder), upscaler=name).upscaling(store)
    assert repr(name) in str(raised.value)
