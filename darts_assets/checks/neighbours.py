"""What a scene shows beside the other scenes of its tile: from their manifests, of which a few are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg
import numpy as np

from darts_assets.checks.check import Checked, warning
from darts_assets.partitions import season_of, tile_of
from darts_core.store import StoreError
from darts_core.versions import Products

AT_MOST = 12
"""Neighbours that are read: the latest before the scene."""
MOST_DRIFT = 0.25
"""Population stability index from which two distributions are held to be different ones; 0.1 is a small shift
(Siddiqi, Credit Risk Scorecards, 2006)."""
BINS = 10
LEAST_SHARE = 1e-4
"""What an empty bin counts as, for logarithms."""
MANY = 10
"""Slumps of a neighbour from which none at all is odd."""
EXPLOSION = 20
"""Times as many as any neighbour has, from which they are no slumps."""
ALWAYS_FINE = 500
"""Slumps that no tile is suspected for."""


def neighbours(store: Products, asset: str, scene: str) -> list[dict[str, Any]]:
    """Summaries of an asset of other scenes of the tile, those before the scene first, the latest of them first.

    Scenes of an earlier season come before those of the same: they are what was released.
    """
    listed = store.fs.glob(store.path(asset, f"{tile_of(scene)}_") + "*/current.json")
    there = (str(pointer).split("/")[-2] for pointer in listed)
    keys = {key for key in there if key != scene and tile_of(key) == tile_of(scene)}
    season = season_of(scene)
    ordered = sorted(keys, key=lambda key: (season_of(key) < season, key < scene, key), reverse=True)
    found = []
    for key in ordered[:AT_MOST]:
        try:
            found.append(store.current(asset, key).manifest.summary)
        except StoreError:
            continue  # it is damaged or goes away: the scene that is checked is not to blame
    return found


@warning
def ensemble_does_not_drift(checked: Checked) -> dg.AssetCheckResult:
    """Probabilities are distributed as in the scenes of this tile before: released ones first, by whatever model."""
    here = _histogram(checked.summary)
    others = [
        histogram
        for summary in neighbours(checked.store, "ensemble", checked.version.manifest.partition)
        if (histogram := _histogram(summary)) is not None
    ]
    if here is None or not others:
        return dg.AssetCheckResult(passed=True, description="No other scene of the tile to compare with")
    drift = stability_index(here, np.sum(others, axis=0))
    return dg.AssetCheckResult(
        passed=drift <= MOST_DRIFT,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"Population stability index {drift:.3f} against {len(others)} scenes; above {MOST_DRIFT} the "
        "model, the scene or the season is another",
        metadata={"population stability index": drift, "scenes": len(others)},
    )


@warning
def slump_polygons_are_as_many_as_nearby(checked: Checked) -> dg.AssetCheckResult:
    """Not none where other scenes of the tile have many, and not many times as many as any of them."""
    here = int(checked.summary["polygons"])
    found = neighbours(checked.store, "slump_polygons", checked.version.manifest.partition)
    others = [int(summary["polygons"]) for summary in found]
    usual, most = (float(np.median(others)), max(others)) if others else (0.0, 0)
    explodes = bool(others) and here > max(ALWAYS_FINE, EXPLOSION * most)
    vanishes = here == 0 and usual >= MANY
    return dg.AssetCheckResult(
        passed=not (explodes or vanishes),
        severity=dg.AssetCheckSeverity.ERROR if explodes else dg.AssetCheckSeverity.WARN,
        description=f"{here} slumps; {len(others)} other scenes of the tile have {usual:g} (median) and at most {most}",
        metadata={"slumps": here, "median of the tile": usual},
    )


def stability_index(here: Sequence[float] | np.ndarray, there: Sequence[float] | np.ndarray) -> float:
    """How far two histograms are apart: sum of (p - q) ln(p / q) over their shares p and q; 0 for the same shares.

    Args:
        here: counts a bin, any number of equal bins that `BINS` divides.
        there: as many.
    """
    p, q = (_shares(np.asarray(counts, float)) for counts in (here, there))
    return float(((p - q) * np.log(p / q)).sum())


def _shares(counts: np.ndarray) -> np.ndarray:
    coarse = counts.reshape(BINS, -1).sum(1)
    shares = np.maximum(coarse / (coarse.sum() or 1.0), LEAST_SHARE)
    return shares / shares.sum()


def _histogram(summary: dict[str, Any]) -> np.ndarray | None:
    """Counts of the mean probability; None of what was summarized before these were kept."""
    counts = summary.get("histograms", {}).get("probabilities")
    return None if counts is None else np.asarray(counts, float)
