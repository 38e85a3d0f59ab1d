"""What every IO manager must keep, on a local folder and on S3: a subclass says what it stores.

The products are made by real assets of a real Dagster run, so that what is tested is what users get.
"""

import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from darts_core.retention import MADE_FROM
from darts_core.store import DamagedProduct, Store, Version
from io_managers.base import Made, ProductIOManager, StoreResource, version_of

PARTITIONS = dg.DynamicPartitionsDefinition(name="scene")
KEY = "T08WMA_20210821T210019_S2A"
SEASON = "2021"


@cache
def instance() -> dg.DagsterInstance:
    """One instance for all runs; what they make lies in the store of each test."""
    made = dg.DagsterInstance.ephemeral()
    made.add_dynamic_partitions("scene", [KEY, SEASON])
    return made


def materialized(
    manager: ProductIOManager, contract: str | None, made: Made, partition: str = KEY
) -> dg.ExecuteInProcessResult:
    """A run of one asset that returns `made` and is stored by `manager`."""

    @dg.asset(
        partitions_def=PARTITIONS,
        io_manager_key="manager",
        metadata={"contract": contract} if contract else {},
        code_version="1",
    )
    def product() -> dg.MaterializeResult:
        return dg.MaterializeResult(value=made, data_version=dg.DataVersion(made.version))

    return dg.materialize([product], instance=instance(), partition_key=partition, resources={"manager": manager})


def loaded(manager: ProductIOManager, contract: str | None, partition: str = KEY) -> Any:
    """What a downstream asset is given."""
    seen = []

    @dg.asset(partitions_def=PARTITIONS, io_manager_key="manager", metadata={"contract": contract} if contract else {})
    def product() -> None: ...

    @dg.asset(partitions_def=PARTITIONS, io_manager_key="manager")
    def downstream(product: Any) -> dg.MaterializeResult:
        seen.append(product)
        return dg.MaterializeResult()

    dg.materialize(
        [product, downstream],
        selection=["downstream"],
        instance=instance(),
        partition_key=partition,
        resources={"manager": manager},
    )
    return seen[0]


class IOManagerConformance:
    """Inherit, say what is stored, and every promise of the storage is tested."""

    manager_class: type[ProductIOManager]
    contract: str | None = None

    def value(self, number: int) -> Any:
        """A value to store; another number, another value."""
        raise NotImplementedError

    def failing(self, then: Callable[[], None]) -> Any:
        """`value(2)`, whose writing calls `then` once, after part of it has been written."""
        raise NotImplementedError

    def assert_same(self, read: Any, number: int) -> None:
        """Check that what was read is `value(number)`."""
        raise NotImplementedError

    def manager(self, store: Store) -> ProductIOManager:
        return self.manager_class(store=StoreResource(root=store.root, endpoint_url=store.options.get("endpoint_url")))

    def make(self, store: Store, version: str, number: int) -> None:
        self.made(store, version, self.value(number), number)

    def made(self, store: Store, version: str, value: Any, number: int) -> None:
        made = Made(version, value, lambda product: {"number": number})
        assert materialized(self.manager(store), self.contract, made).success

    def read(self, store: Store) -> Any:
        return loaded(self.manager(store), self.contract)

    def current(self, store: Store) -> Version:
        return store.current("product", KEY)

    def test_what_is_stored_is_read_back(self, store: Store) -> None:
        self.make(store, "v1", 1)
        read = self.read(store)
        self.assert_same(read, 1)
        assert version_of(read) == "v1"
        assert self.current(store).manifest.summary == {"number": 1}
        self.current(store).verify()

    def test_people_see_what_was_stored(self, tmp_path: Path) -> None:
        store = Store(str(tmp_path))
        made = Made("v1", self.value(1), lambda product: {"number": 1, "quicklook": "data:image/webp;base64,AAAA"})
        run = materialized(self.manager(store), self.contract, made)
        (event,) = run.get_asset_materialization_events()
        metadata = event.materialization.metadata
        assert metadata["quicklook"].value == "![quicklook](data:image/webp;base64,AAAA)"
        assert {"path", "version", "megabytes", "objects", "seconds", "number"} <= set(metadata)
        assert metadata["objects"].value == len(self.current(store).manifest.objects)

    def test_a_reader_during_a_write_sees_the_old_version(
        self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also what the reader opened then and reads only after the new version was committed."""
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        self.make(store, "v1", 1)
        during = []

        def look() -> None:
            staged = [file for file in tmp_path.rglob("*") if file.is_file() and "v1" not in file.parts]
            assert staged or store.sizes(store.path("product", KEY, "v2")), "nothing was written before the call"
            during.append(self.read(store))

        self.made(store, "v2", self.failing(look), 2)
        assert len(during) == 1, "the value must call back once while it is written"
        self.assert_same(during[0], 1)
        self.assert_same(self.read(store), 2)

    def test_an_error_inside_the_write_leaves_the_old_version_and_the_next_write_mends(self, store: Store) -> None:
        self.make(store, "v1", 1)

        def fail() -> None:
            raise RuntimeError("the disk under the model broke")

        with pytest.raises(RuntimeError, match="the disk under the model broke"):
            self.made(store, "v2", self.failing(fail), 2)
        assert self.current(store).version == "v1"
        assert store.committed("product", KEY, "v2") is None
        self.make(store, "v2", 2)
        mended = self.current(store)
        mended.verify()
        self.assert_same(self.read(store), 2)
        assert set(store.sizes(mended.path())) == {*mended.manifest.objects, "manifest.json", MADE_FROM}, "no more"

    def test_two_writers_of_one_version_leave_it_whole(self, store: Store) -> None:
        """And the same: the one that was not disturbed shows that the same value gives the same bytes."""
        undisturbed = []

        def overtake() -> None:
            self.make(store, "v2", 2)
            undisturbed.append(self.current(store).manifest)

        self.made(store, "v2", self.failing(overtake), 2)
        assert [self.current(store).manifest] == undisturbed
        self.current(store).verify()
        self.assert_same(self.read(store), 2)

    def test_what_is_deleted_or_truncated_is_named_and_made_again(self, store: Store) -> None:
        self.make(store, "v1", 1)
        version = self.current(store)
        for name in _some(list(version.manifest.objects)):
            whole = store.fs.cat_file(version.path(name))
            store.fs.rm_file(version.path(name))
            with pytest.raises(DamagedProduct, match=f"{name} is missing"):
                self.current(store)
            store.fs.pipe_file(version.path(name), whole[:-1])
            with pytest.raises(DamagedProduct, match=f"{name} has {len(whole) - 1} bytes, not {len(whole)}"):
                self.current(store)
        with pytest.raises(dg.Failure, match=f"{name} has {len(whole) - 1} bytes"):
            self.read(store)
        self.make(store, "v1", 1)
        self.assert_same(self.read(store), 1)
        assert self.current(store).manifest == version.manifest

    def test_a_killed_write_leaves_the_old_version_and_the_next_one_mends(self, tmp_path: Path) -> None:
        store = Store(str(tmp_path / "store"))
        self.make(store, "v1", 1)
        module = sys.modules[type(self).__module__].__file__
        process = _processes().Process(target=_write_until_killed, args=(module, type(self).__qualname__, store.root))
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        self.assert_same(self.read(store), 1)
        assert store.committed("product", KEY, "v2") is None
        assert len(os.listdir(tmp_path / "store" / ".staging")) == 1
        self.make(store, "v2", 2)
        self.assert_same(self.read(store), 2)
        assert os.listdir(tmp_path / "store" / ".staging") == []


def _some(names: list[str], count: int = 3) -> list[str]:
    """At most `count` of the names, the first and the last among them."""
    step = max(1, -(-(len(names) - 1) // (count - 1)))
    return [*names[:-1:step], names[-1]]


@cache
def _processes() -> Any:
    """Processes that start with the heavy imports done, so that each costs little."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["dagster", "rioxarray", "dask.array", "zarr", "geopandas", "pyogrio", "torch"])
    return context


def _write_until_killed(module_file: str, case_name: str, root: str) -> None:
    spec = spec_from_file_location("killed", module_file)
    if spec is None or spec.loader is None:
        raise ImportError(module_file)
    module = module_from_spec(spec)
    sys.modules["killed"] = module
    spec.loader.exec_module(module)
    case = getattr(module, case_name)()
    case.made(Store(root), "v2", case.failing(lambda: os.kill(os.getpid(), signal.SIGKILL)), 2)
