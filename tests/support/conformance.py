"""What every IO manager must keep, on a local folder and on S3: a subclass says what it stores.

The products are made by real assets of a real Dagster run, so that what is tested is what users get.
"""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from darts_core.store import DamagedProduct, Store, Version
from io_managers.base import Made, ProductIOManager, StoreResource, version_of

PARTITIONS = dg.DynamicPartitionsDefinition(name="scene")
KEY = "T08WMA_20210821T210019_S2A"


def materialized(manager: ProductIOManager, contract: str | None, made: Made) -> dg.ExecuteInProcessResult:
    """A run of one asset that returns `made` and is stored by `manager`."""

    @dg.asset(
        partitions_def=PARTITIONS,
        io_manager_key="manager",
        metadata={"contract": contract} if contract else {},
        code_version="1",
    )
    def product() -> dg.MaterializeResult:
        return dg.MaterializeResult(value=made, data_version=dg.DataVersion(made.version))

    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("scene", [KEY])
        return dg.materialize([product], instance=instance, partition_key=KEY, resources={"manager": manager})


def loaded(manager: ProductIOManager, contract: str | None) -> Any:
    """What a downstream asset is given."""
    seen = []

    @dg.asset(partitions_def=PARTITIONS, io_manager_key="manager", metadata={"contract": contract} if contract else {})
    def product() -> None: ...

    @dg.asset(partitions_def=PARTITIONS, io_manager_key="manager")
    def downstream(product: Any) -> dg.MaterializeResult:
        seen.append(product)
        return dg.MaterializeResult()

    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("scene", [KEY])
        dg.materialize(
            [product, downstream],
            selection=["downstream"],
            instance=instance,
            partition_key=KEY,
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
        """A value whose writing calls `then` after part of it has been written."""
        raise NotImplementedError

    def assert_same(self, read: Any, number: int) -> None:
        """Check that what was read is `value(number)`."""
        raise NotImplementedError

    def manager(self, store: Store) -> ProductIOManager:
        return self.manager_class(store=StoreResource(root=store.root, endpoint_url=store.options.get("endpoint_url")))

    def make(self, store: Store, version: str, number: int) -> None:
        made = Made(version, self.value(number), lambda product: {"number": number})
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

    def test_people_see_what_was_stored(self, store: Store) -> None:
        made = Made("v1", self.value(1), lambda product: {"number": 1, "quicklook": "data:image/webp;base64,AAAA"})
        run = materialized(self.manager(store), self.contract, made)
        (event,) = run.get_asset_materialization_events()
        metadata = event.materialization.metadata
        assert metadata["quicklook"].value == "![quicklook](data:image/webp;base64,AAAA)"
        assert {"path", "version", "megabytes", "objects", "seconds", "number"} <= set(metadata)
        assert metadata["objects"].value == len(self.current(store).manifest.objects)

    def test_a_reader_during_a_write_sees_the_old_version(self, store: Store) -> None:
        self.make(store, "v1", 1)
        during = []
        made = Made("v2", self.failing(lambda: during.append(self.read(store))), lambda product: {})
        assert materialized(self.manager(store), self.contract, made).success
        assert during, "the value must call back while it is written"
        self.assert_same(during[0], 1)
        assert self.current(store).version == "v2"

    def test_an_error_inside_the_write_leaves_the_old_version(self, store: Store) -> None:
        self.make(store, "v1", 1)

        def fail() -> None:
            raise RuntimeError("the disk under the model broke")

        with pytest.raises(RuntimeError, match="the disk under the model broke"):
            materialized(self.manager(store), self.contract, Made("v2", self.failing(fail), lambda product: {}))
        self.assert_same(self.read(store), 1)
        assert self.current(store).version == "v1"
        assert store.committed("product", KEY, "v2") is None

    def test_every_object_that_is_deleted_or_truncated_is_named(self, store: Store) -> None:
        self.make(store, "v1", 1)
        version = self.current(store)
        for name, record in version.manifest.objects.items():
            whole = store.fs.cat_file(version.path(name))
            store.fs.rm_file(version.path(name))
            with pytest.raises(DamagedProduct, match=f"{name} is missing"):
                self.current(store)
            store.fs.pipe_file(version.path(name), whole[:-1])
            with pytest.raises(DamagedProduct, match=f"{name} has {record.size - 1} bytes, not {record.size}"):
                self.current(store)
            store.fs.pipe_file(version.path(name), whole)
        store.fs.rm_file(version.path(name))
        with pytest.raises(DamagedProduct, match=f"{name} is missing"):
            self.read(store)

    def test_the_same_value_gives_the_same_bytes(self, store: Store) -> None:
        self.make(store, "v1", 1)
        first = self.current(store).manifest
        self.make(store, "v1", 1)
        assert self.current(store).manifest == first

    def test_a_killed_write_leaves_the_old_version_and_the_next_one_mends(self, tmp_path: Path) -> None:
        store = Store(str(tmp_path / "store"))
        self.make(store, "v1", 1)
        code = f"""
            import os, signal, sys
            sys.path[:0] = {sys.path!r}
            from pathlib import Path
            from darts_core.store import Store
            from importlib.util import module_from_spec, spec_from_file_location
            spec = spec_from_file_location("killed", {sys.modules[type(self).__module__].__file__!r})
            module = module_from_spec(spec); sys.modules["killed"] = module; spec.loader.exec_module(module)
            from support.conformance import materialized
            from io_managers.base import Made
            case = module.{type(self).__qualname__}()
            value = case.failing(lambda: os.kill(os.getpid(), signal.SIGKILL))
            materialized(case.manager(Store({store.root!r})), case.contract, Made("v2", value, lambda product: {{}}))
        """
        killed = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, check=False)
        assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
        self.assert_same(self.read(store), 1)
        assert store.committed("product", KEY, "v2") is None
        self.make(store, "v2", 2)
        self.assert_same(self.read(store), 2)
        assert os.listdir(tmp_path / "store" / ".staging") == []
