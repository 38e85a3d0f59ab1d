"""What every job for ranks says: where products lie, on what it predicts, and how many processes share it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from darts_core.errors import DartsError
from darts_core.store import DamagedProduct, Draft, MissingProduct, Store, Version
from darts_core.versions import Products


class JobError(DartsError):
    """A job that cannot start, or did not do what it was to do."""


class JobKilled(JobError):
    """A job of which a process is gone without a word: killed from outside, or for want of memory; maybe only once."""


class Frozen(BaseModel):
    """A part of a job: once written, never changed, and without a field that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StoreAddress(Frozen):
    """Where products lie. Credentials are no part of it: each process has them from its environment."""

    root: str
    endpoint_url: str | None = None

    @classmethod
    def of(cls, store: Products) -> StoreAddress:
        """The address of a store.

        Raises:
            ValidationError: the store has an option that does not belong into a file.
        """
        return cls(root=store.root, **store.options)

    def open(self) -> Store:
        """The store that lies there."""
        return Store(self.root, {"endpoint_url": self.endpoint_url} if self.endpoint_url else {})


class ProductVersion(Frozen):
    """One version of one product."""

    asset: str
    partition: str
    version: str

    @classmethod
    def of(cls, draft: Draft) -> ProductVersion:
        """That which a draft is to become."""
        return cls(asset=draft.asset, partition=draft.partition, version=draft.version)

    def committed(self, store: Store) -> Version:
        """It, in a store, checked to be whole.

        Raises:
            MissingProduct: it was never made, or was cleaned up.
            DamagedProduct: an object of it is missing.
        """
        version = store.committed(**self.model_dump())
        if version is None:
            raise MissingProduct(
                f"{self.asset} of {self.partition} has no version {self.version} in {store.root}; materialize it again"
            )
        version.check()
        return version

    def stands(self, store: Store) -> bool:
        """Whether it is committed in a store, and whole."""
        try:
            self.committed(store)
        except (MissingProduct, DamagedProduct):
            return False
        return True


class RankJob(Frozen):
    """What jobs of all kinds have in common."""

    version: Literal[1] = 1
    store: StoreAddress
    device: str = Field(default="cpu", description="cpu, cuda, cuda:1, mps, or auto")
    ranks: int = Field(default=1, ge=1, description="Processes that share the work")


def find_model(store: Store, asset: str, path: str, digest: str) -> Path:
    """A model file on the machine of a rank: where the job says, else as the model of this digest that `asset` holds.

    Raises:
        JobError: it is at neither place.
    """
    if Path(path).exists():
        return Path(path)
    for name in store.partitions(asset):
        version = store.current(asset, name)
        for file, record in version.manifest.objects.items():
            if record.sha256 == digest:
                return version.fetch(file)
    raise JobError(
        f"The model {path} is not on this machine, and no {asset} in {store.root} has its digest {digest[:12]}…; lay "
        "models where every machine has them at the same path, or train them here"
    )
