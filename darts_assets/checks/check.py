"""What a check of a product is: a function of what was stored, run as soon as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dagster as dg

from darts_core.versions import Products, Version


@dataclass(frozen=True, slots=True)
class Checked:
    """A product that was just stored, or was there already."""

    version: Version
    """Its manifest holds the summary: what most checks need without reading a product."""
    read: Callable[[], Any]
    """Opens the product as an IO manager does: lazily."""

    @property
    def summary(self) -> dict[str, Any]:
        """The facts of the product that people see."""
        return self.version.manifest.summary

    @property
    def store(self) -> Products:
        """Where the products of other partitions lie."""
        return self.version.store


@dataclass(frozen=True, slots=True)
class Check:
    """One check of an asset, under the name of its function."""

    evaluate: Callable[[Checked], dg.AssetCheckResult]
    blocking: bool
    """Whether nothing is built upon what fails it with the severity ERROR."""

    @property
    def name(self) -> str:
        """What it goes by in the UI."""
        return self.evaluate.__name__

    def spec(self, asset: str, partitions: dg.PartitionsDefinition) -> dg.AssetCheckSpec:
        """What Dagster knows of it before it runs."""
        return dg.AssetCheckSpec(
            self.name,
            asset=asset,
            description=self.evaluate.__doc__,
            blocking=self.blocking,
            partitions_def=partitions,
        )

    def result(self, checked: Checked) -> dg.AssetCheckResult:
        """Evaluate it, under its name."""
        found = self.evaluate(checked)
        return dg.AssetCheckResult(
            check_name=self.name,
            passed=found.passed,
            severity=found.severity,
            description=found.description,
            metadata=found.metadata,
        )


def blocking(evaluate: Callable[[Checked], dg.AssetCheckResult]) -> Check:
    """A check that keeps wrong data from flowing on."""
    return Check(evaluate, blocking=True)


def warning(evaluate: Callable[[Checked], dg.AssetCheckResult]) -> Check:
    """A check that people should look at; what is made goes on to be used."""
    return Check(evaluate, blocking=False)
