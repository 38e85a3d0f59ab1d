"""What must hold of a release before anybody sees it."""

import dagster as dg

from darts_assets.checks.check import Checked, blocking


@blocking
def slump_dataset_is_consistent(checked: Checked) -> dg.AssetCheckResult:
    """The schema, unique ids, valid geometries, and every slump where somebody looked."""
    from darts_core.release.verifying import faults_of_release

    version = checked.version
    names = list(version.manifest.objects)
    files = {
        name: version.fetch(name) for name in names if name.startswith("slumps.parquet/") or name == "coverage.tif"
    }
    coverage = files.pop("coverage.tif", None)
    faults = faults_of_release(list(files.values()), coverage)
    return dg.AssetCheckResult(
        passed=not faults, description="; ".join(faults[:20]) or f"{len(files)} tiles are as they should be"
    )
