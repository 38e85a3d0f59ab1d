"""The whole Arctic on paper and by simulation: partitions, storage, hours, cost, and what breaks first.

    python benchmarks/arctic.py [--tiles 7000] [--seasons 8] [--scenes 20] [--devices 16]

Sizes and times of a scene are those measured here on Sentinel-2 tiles of 10980 x 10980 pixels; what was never measured
(a GPU's time, prices) is an assumption, named as such, and can be set. The simulation lets the scenes of one season
arrive by chance over its days, works them off with so many devices, loses some to failures that pass and some that do
not, and takes up the failed ones in bounded nights.
"""

import argparse
import random
from dataclasses import dataclass

PIXELS, FACTOR, PATCH, STEP = 10_980, 4, 1024, 768
GIGABYTES = {"raw_scene": 0.7, "preprocessed": 1.3, "sr_patches": 8.5, "sr_geotiff": 8.2, "rasters and polygons": 1.2}
"""Of one scene; patches and COG measured with `full_tile.py`, the others estimated from their pixels."""
KEPT = ("preprocessed", "sr_geotiff", "rasters and polygons")
"""After the clean-up: deliveries lie where they came from, and patches are made from them again."""
CPU_SECONDS_A_PATCH, MODELS = 2.4, 2
"""Measured on two cores with `segmentation.py`."""
CPU_SECONDS_BESIDE = 420.0
"""Of a scene: everything but segmentation, measured with `full_tile.py`."""
PARTITIONS_AN_ASSET, ASSETS, SCENES_A_RUN = 100_000, 8, 16
RUNS_A_SECOND = 0.3
"""What a daemon queues where 70,000 scenes are registered, for each run asks for their list once an asset."""
EVENT_KILOBYTES = 6.0
"""Of Dagster's storage for one partition of one asset, measured with `orchestration.py`."""


@dataclass(frozen=True)
class Season:
    """How one season went."""

    days: int
    """Until nothing is left to be done."""
    backlog: int
    """Scenes that waited on the worst day."""
    given_up: int
    """Scenes that failed whenever they were tried."""


def main() -> None:
    """Print the table and the simulated season."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"tiles": 7000, "seasons": 8, "scenes": 20, "devices": 16, "nightly": 200}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--milliseconds", type=float, default=25.0, help="assumed: of a GPU, a patch and a model")
    parser.add_argument("--device-hour", type=float, default=2.0, help="assumed: price, in any currency")
    parser.add_argument("--terabyte-month", type=float, default=20.0, help="assumed: price")
    options = parser.parse_args()
    a_season = options.tiles * options.scenes
    scenes = a_season * options.seasons
    patches = (-(-(PIXELS * FACTOR - PATCH) // STEP) + 1) ** 2 * MODELS
    device_hours = scenes * patches * options.milliseconds / 3.6e6
    core_hours = scenes * (patches * CPU_SECONDS_A_PATCH + CPU_SECONDS_BESIDE) / 3600
    kept = scenes * sum(GIGABYTES[name] for name in KEPT) / 1e3
    rows = {
        "scenes; of one season": f"{scenes:,}; {a_season:,}",
        "partitions of all assets that are per scene": f"{scenes * ASSETS:,}",
        "instances, each with at most 100,000 scenes": f"{-(-scenes // PARTITIONS_AN_ASSET)}",
        "runs of 16 scenes; hours to submit them": f"{scenes // SCENES_A_RUN:,}; "
        f"{scenes / SCENES_A_RUN / RUNS_A_SECOND / 3600:.1f}",
        "Dagster's storage": f"{scenes * ASSETS * EVENT_KILOBYTES / 1e6:,.0f} GB",
        "products, with patches and raw scenes; kept": f"{scenes * sum(GIGABYTES.values()) / 1e3:,.0f}; {kept:,.0f} TB",
        "patches through a model": f"{scenes * patches:,}",
        "device hours (assumed); core hours without devices": f"{device_hours:,.0f}; {core_hours:,.0f}",
        "cost of devices; of a year of storage": f"{device_hours * options.device_hour:,.0f}; "
        f"{kept * options.terabyte_month * 12:,.0f}",
    }
    for what, figure in rows.items():
        print(f"{what:<52} {figure}")
    a_day = int(options.devices * 24 * 3.6e6 / (patches * options.milliseconds + 1e3 * CPU_SECONDS_BESIDE / 8))
    season = simulate(a_season, a_day, options.nightly, random.Random(1))
    print(
        f"\na season with {options.devices} devices, {a_day:,} scenes a day: {season.backlog:,} wait on the worst day, "
        f"done after {season.days} days, {season.given_up:,} for a person to look at"
    )


def simulate(scenes: int, a_day: int, nightly: int, chance: random.Random, season: int = 120) -> Season:
    """Scenes that arrive by chance on the days of a season; 5 % fail once, and 0.5 % whenever they are tried.

    Args:
        a_day: scenes that the devices work off.
        nightly: scenes that failed which a night takes up again.
    """
    arrivals = [0] * season
    for _ in range(scenes):
        arrivals[chance.randrange(season)] += 1
    waiting = worst = failed = hopeless = day = 0
    while day < season or waiting or failed:
        waiting += arrivals[day] if day < season else 0
        again = min(failed, nightly)
        failed -= again
        done = min(waiting, a_day - min(again, a_day))
        waiting -= done
        worst, day = max(worst, waiting), day + 1
        bad = sum(chance.random() < 0.005 for _ in range(done))
        hopeless += bad
        failed += sum(chance.random() < 0.05 for _ in range(done - bad))
        if day > 10 * season:
            break
    return Season(day, worst, hopeless)


if __name__ == "__main__":
    main()
