"""What all IO managers share: where a product lies, how a version becomes visible, what a person sees of it."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from pydantic import Field

from darts_core.errors import DartsError
from darts_core.retention import note_made_from
from darts_core.store import Draft, Store, Version

Summary = dict[str, Any]
"""Facts and pictures (data URIs) of a product by title, kept in its manifest and shown in the UI."""


@contextmanager
def explained() -> Iterator[None]:
    """Fail the step with the words of an error that teaches: in the UI they come first, and Dagster's frames after.

    Raises:
        dagster.Failure: in place of a `DartsError`, which is its cause.
    """
    try:
        yield
    except DartsError as error:
        raise dg.Failure(str(error)) from error


@dataclass(frozen=True, slots=True)
class Made:
    """What an asset returns: a value to store, under the identity of what it was made from."""

    version: str
    value: Any
    summarize: Callable[[Any], Summary]
    """What people should see of the stored product, made from it as it is read back."""
    made_from: Mapping[str, str] = field(default_factory=dict)
    """Versions of products and digests of models, by name; what clean-ups keep because of it."""


@dataclass(frozen=True, slots=True)
class ByPartition:
    """An input of a run over many partitions: each product is read when its turn comes."""

    read: Callable[[str], Any]
    """From a partition key to its product."""


class StoreResource(dg.ConfigurableResource):
    """Where all products lie: a local folder or an object store."""

    root: str = Field(description="Local folder or s3://bucket/prefix")
    endpoint_url: str | None = Field(None, description="Endpoint of an S3-compatible service; None for AWS")

    def open(self) -> Store:
        """The store itself. Credentials come from the environment or an AWS profile."""
        return Store(self.root, {"endpoint_url": self.endpoint_url} if self.endpoint_url else {})


class ProductIOManager(dg.ConfigurableIOManager):
    """Stores one kind of product; a subclass writes into a staging folder and reads a committed version."""

    store: StoreResource

    @abstractmethod
    def write(self, draft: Draft, value: Any, contract: str | None) -> Summary | None:
        """Write `value` into `draft.folder`, or publish parts of it as they are finished.

        Returns:
            What people should see of how it was made; no part of the product.
        """

    @abstractmethod
    def read(self, version: Version, contract: str | None) -> Any:
        """The product, lazily; a value that knows its version (see `version_of`)."""

    def keep(self, asset: str, partition: str, made: Made, contract: str | None) -> dict[str, dg.MetadataValue]:
        """Write one version, make it visible in one step, and return what the UI is to show of it."""
        started = time.perf_counter()
        with self.store.open().draft(asset, partition, made.version) as draft:
            told = self.write(draft, made.value, contract) or {}
            note_made_from(draft.store, asset, partition, made.version, made.made_from)
            version = draft.commit(lambda published: made.summarize(self.read(published, contract)))
        seconds = dg.MetadataValue.float(round(time.perf_counter() - started, 2))
        return {**shown(version), **_shown(told), "seconds": seconds}

    def handle_output(self, context: dg.OutputContext, obj: Made) -> None:
        """Keep what an asset returned."""
        contract = context.definition_metadata.get("contract")
        context.add_output_metadata(self.keep(context.asset_key.path[-1], context.asset_partition_key, obj, contract))

    @explained()
    def load_input(self, context: dg.InputContext) -> Any:
        """The current version of the upstream partition; in a run over many, a way to each."""
        upstream = context.upstream_output
        contract = upstream.definition_metadata.get("contract") if upstream else None
        asset = context.asset_key.path[-1]

        def current(partition: str) -> Any:
            return self.read(self.store.open().current(asset, partition), contract)

        return current(context.asset_partition_key) if context.has_partition_key else ByPartition(current)


def shown(version: Version) -> dict[str, dg.MetadataValue]:
    """The metadata that the UI shows for a version: its summary, where it lies and how large it is."""
    manifest = version.manifest
    return {
        **_shown(manifest.summary),
        "path": dg.MetadataValue.path(version.url()),
        "version": dg.MetadataValue.text(manifest.version),
        "megabytes": dg.MetadataValue.float(round(manifest.size / 1e6, 3)),
        "objects": dg.MetadataValue.int(len(manifest.objects)),
    }


def _shown(summary: Summary) -> dict[str, dg.MetadataValue]:
    return {title: _metadata(title, value) for title, value in summary.items()}


def _metadata(title: str, value: Any) -> dg.MetadataValue:
    if isinstance(value, str) and value.startswith("data:image/"):
        return dg.MetadataValue.md(f"![{title}]({value})")
    if isinstance(value, str) and value.startswith("| "):
        return dg.MetadataValue.md(value)
    if isinstance(value, bool):
        return dg.MetadataValue.bool(value)
    if isinstance(value, int):
        return dg.MetadataValue.int(value)
    if isinstance(value, float):
        return dg.MetadataValue.float(value)
    if isinstance(value, str):
        return dg.MetadataValue.text(value)
    return dg.MetadataValue.json(value)


def version_of(product: Any) -> str:
    """The version of a product that an IO manager read, for the identity of what is made from it."""
    attributes: Mapping[str, Any] = product.attrs
    return str(attributes["version"])
