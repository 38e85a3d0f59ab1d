"""How much of a scene can be used; all from the summaries that were stored with it."""

import dagster as dg

from darts_assets.checks.check import Checked, warning
from darts_core.store import StoreError

LEAST_OBSERVED = 0.1
"""Share of a scene that should be observed: below it lies a strip at an orbit's edge, or a broken delivery."""
LEAST_LOOKED_AT = 0.05
"""Share on which slumps should have been looked for: below it clouds and snow left nothing."""
MOST_LOST = 0.02
"""Share that may be observed and have no probability all the same: seams of a window at most."""


@warning
def preprocessed_is_observed(checked: Checked) -> dg.AssetCheckResult:
    """At least a tenth of the scene was observed."""
    return _at_least(float(checked.summary["share of valid pixels"]), LEAST_OBSERVED, "was observed")


@warning
def segmentation_mask_was_looked_at(checked: Checked) -> dg.AssetCheckResult:
    """Slumps were looked for on at least a twentieth of the scene."""
    return _at_least(float(checked.summary["share looked at"]), LEAST_LOOKED_AT, "was good enough to look for slumps")


@warning
def probabilities_cover_what_was_observed(checked: Checked) -> dg.AssetCheckResult:
    """Each model has a probability nearly everywhere where the scene was observed."""
    try:
        preprocessed = checked.store.current("preprocessed", checked.version.manifest.partition)
    except StoreError as error:
        return dg.AssetCheckResult(passed=True, description=f"Nothing to compare with: {error}")
    unseen = 1 - float(preprocessed.manifest.summary["share of valid pixels"])
    end = " share of nodata"
    without = {name[: -len(end)]: share for name, share in checked.summary.items() if name.endswith(end)}
    lost = {name: share - unseen for name, share in without.items() if share - unseen > MOST_LOST}
    told = ", ".join(f"{name} lacks {share:.1%}" for name, share in lost.items())
    return dg.AssetCheckResult(
        passed=not lost,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"Of what was observed {told}" if lost else "What was observed has probabilities",
        metadata={name: round(share, 4) for name, share in without.items()},
    )


def _at_least(share: float, least: float, what: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=share >= least,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{share:.1%} of the scene {what}; expected at least {least:.0%}",
        metadata={"share": share},
    )
