"""Scenes of one run that are predicted elsewhere: one job for all of them, and each made, marked or red by itself."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg
import pytest
from support.batches import KEYS, failure
from support.datasets import preprocessed_dataset

from darts_assets import faults
from darts_assets.assets.sr_patches import sr_patches
from darts_assets.batches import batch_tags
from darts_assets.partitions import SCENES
from darts_core.contracts import encode
from darts_core.datasets import GROUP, write_zarr
from darts_core.store import Draft, Store
from io_managers.base import StoreResource
from io_managers.shards import ShardsIOManager
from io_managers.zarr import ZarrIOManager
from resources.accelerator import Accelerator
from resources.launchers.backend import Request
from resources.launchers.configuration import Launcher
from resources.launchers.local import LocalBackend, LocalJob
from resources.models import ModelStore

A, B, C, D = KEYS[:4]


def with_scenes(root: Path) -> Store:
    """A store that holds four preprocessed scenes."""
    store = Store(str(root))
    for number, key in enumerate((A, B, C, D)):
        with store.draft("preprocessed", key, "v1") as draft:
            write_zarr(encode(preprocessed_dataset(number, (60, 50)), "preprocessed"), draft.folder / GROUP)
            draft.commit()
    return store


def batch(
    instance: dg.DagsterInstance, store: Store, accelerator: Accelerator, keys: Sequence[str]
) -> dg.ExecuteInProcessResult:
    """Super-resolve scenes in one run."""

    @dg.asset(partitions_def=SCENES, io_manager_key="zarr", metadata={"contract": "preprocessed"})
    def preprocessed() -> None: ...

    resource = StoreResource(root=store.root)
    definitions = dg.Definitions(
        [preprocessed, sr_patches],
        executor=dg.in_process_executor,
        resources={
            "store": resource,
            "models": ModelStore(checkpoints="", upscaler="bicubic"),
            "accelerator": accelerator,
            "zarr": ZarrIOManager(store=resource),
            "shards": ShardsIOManager(store=resource),
        },
    )
    job = definitions.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        instance=instance, asset_selection=[sr_patches.key], tags=batch_tags(keys), raise_on_error=False
    )


EMBEDDED = Accelerator(device="cpu")
LOCAL = Accelerator(device="cpu", launcher=Launcher.LOCAL, ranks=2)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions("scene", [A, B, C, D])
        yield instance


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The scenes of each job that is launched."""
    jobs: list[list[str]] = []
    submit = LocalBackend.submit

    def counted(backend: LocalBackend, request: Request, variables: dict[str, str]) -> object:
        jobs.append([product.partition for product in request.job.products])
        return submit(backend, request, variables)

    monkeypatch.setattr(LocalBackend, "submit", counted)
    return jobs


def test_one_job_makes_what_is_missing_to_the_bytes_that_each_alone_has(
    instance: dg.DagsterInstance, launched: list[list[str]], tmp_path: Path
) -> None:
    together, alone = with_scenes(tmp_path / "together"), with_scenes(tmp_path / "alone")
    assert batch(instance, together, EMBEDDED, [A]).success
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(Draft, "commit")
        assert not batch(instance, together, EMBEDDED, [B]).success, "it is published, and not committed"
    for _ in range(2):
        assert batch(instance, together, LOCAL, [A, B, C, D]).success
        assert launched == [[C, D]]
    assert instance.get_materialized_partitions(sr_patches.key) == {A, B, C, D}
    assert batch(instance, alone, EMBEDDED, [A, B, C, D]).success
    for key in (A, B, C, D):
        one, other = (store.current("sr_patches", key).manifest.objects for store in (together, alone))
        assert one == other


def test_a_scene_that_ranks_fail_at_is_red_alone_with_their_words(
    instance: dg.DagsterInstance, launched: list[list[str]], tmp_path: Path
) -> None:
    store = with_scenes(tmp_path / "store")
    chunk = Path(store.current("preprocessed", B).path(GROUP), "red", "c", "0", "0")
    chunk.write_bytes(bytes(chunk.stat().st_size))
    result = batch(instance, store, LOCAL, [A, B, C])
    said = failure(result)
    assert "1 of 3 scenes failed" in said, said
    assert f"{B}: sr_patches: Rank " in said
    assert "Traceback (most recent call last)" in said
    assert instance.get_materialized_partitions(sr_patches.key) == {A, C}
    assert launched in ([[A, B, C], [A, C]], [[A, B, C], [C]])


def test_a_job_that_is_killed_before_it_made_anything_is_followed_by_another(
    instance: dg.DagsterInstance, launched: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, submit = with_scenes(tmp_path / "store"), LocalBackend.submit

    def killed(backend: LocalBackend, request: Request, variables: dict[str, str]) -> LocalJob:
        job = submit(backend, request, variables)
        if len(launched) == 1:
            job._supervisor.kill()
        return job

    monkeypatch.setattr(LocalBackend, "submit", killed)
    monkeypatch.setattr(faults, "WAITS", (0.1,))
    assert batch(instance, store, LOCAL, [A, B]).success
    assert launched == [[A, B], [A, B]]
