"""A release merged from a million synthetic polygons, beside one of a tenth: time, CPU and peak memory, in one run.

    python benchmarks/release.py [--polygons 1000000] [--folder /tmp]

Scenes of 110 km lie every 100 km and overlap their neighbours; each is seen on three days. There is a slump of 24
corners in every 40 km2, and a scene finds four of five of them, shifted by some metres, as a file of polygons in its
UTM zone. Density is the same for both sizes, as it is for the Arctic: ten times the polygons are ten times the ground.
Each release is a process of its own, `release_files` from files to files; making the scenes is not measured.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import Transformer

SPACING, SIDE, BLOCK, DAYS, FOUND, A_BLOCK, CORNERS = 100_000, 110_000, 10_000, 3, 0.8, 2.5, 24
PER_SCENE = A_BLOCK * (SIDE / BLOCK) ** 2 * FOUND


def main() -> None:
    """Measure both sizes and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--polygons", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--measure", type=Path, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(_measured(options.measure)))
        return
    print("| polygons | scenes | slumps | wall s | CPU s | peak MB, of which imports | release MB, map MB |")
    print("| --: | --: | --: | --: | --: | --: | --: |")
    for polygons in (options.polygons // 10, options.polygons):
        with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as folder:
            made, scenes = _make(Path(folder), polygons)
            command = [sys.executable, __file__, "--measure", folder]
            row = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        print(
            f"| {made} | {scenes} | {row['slumps']} | {row['wall']:.0f} | {row['cpu']:.0f} "
            f"| {row['peak']:.0f}, {row['imports']:.0f} | {row['release']:.0f}, {row['map']:.0f} |"
        )


def _measured(folder: Path) -> dict[str, float]:
    import pyogrio  # noqa: F401
    import pystac  # noqa: F401
    import rasterio  # noqa: F401

    from darts_core.inference import geotiff  # noqa: F401
    from darts_core.release import release_files

    imports, started, cpu = _peak(), time.perf_counter(), time.process_time()
    out = release_files(
        sorted((folder / "scenes").glob("*.parquet")), folder / "out", "2021", extents=folder / "extents.parquet"
    )
    told = json.loads((out / "collection.json").read_text())["summaries"]
    return {
        "slumps": told["slumps"][0],
        "wall": time.perf_counter() - started,
        "cpu": time.process_time() - cpu,
        "peak": _peak(),
        "imports": imports,
        "release": sum(file.stat().st_size for file in out.rglob("*") if file.is_file()) / 1e6,
        "map": (out / "map.html").stat().st_size / 1e6,
    }


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _make(folder: Path, polygons: int) -> tuple[int, int]:
    """Write the scenes and their extents; how many polygons and scenes."""
    across = round(np.sqrt(polygons / PER_SCENE / DAYS))
    (folder / "scenes").mkdir()
    looks, made = [], 0
    for column, row in np.ndindex(across, across):
        corner = np.array([column, row]) * SPACING - across * SPACING / 2 + 1e6
        shapes = _ground(corner)
        zone = _zone(*(corner + SIDE / 2))
        for day in range(DAYS):
            name = f"T{column:02d}{row:02d}_2021070{day + 1}"
            frame = _scene(name, shapes, day, np.random.default_rng((column, row, day)))
            frame.to_crs(zone).to_parquet(folder / "scenes" / f"{name}.parquet")
            looks.append((name, frame["acquired"].iloc[0], shapely.box(*corner, *(corner + SIDE))))
            made += len(frame)
    names, times, extents = zip(*looks, strict=True)
    table = {"scene": names, "acquired": pd.DatetimeIndex(times).as_unit("us"), "sensor": "S2"}
    gpd.GeoDataFrame(table, geometry=[*extents], crs="EPSG:3413").to_parquet(folder / "extents.parquet")
    return made, len(looks)


def _ground(corner: np.ndarray) -> np.ndarray:
    """What lies in the box of a scene, the same for every scene that shows it: corners (slumps, CORNERS, 2)."""
    blocks = np.round(corner / BLOCK).astype(int) + np.stack(np.indices((SIDE // BLOCK,) * 2), -1).reshape(-1, 2)
    found = []
    for block in blocks:
        rng = np.random.default_rng(tuple(block + 10_000))
        count = rng.poisson(A_BLOCK)
        centre = (block + rng.uniform(0.03, 0.97, (count, 2))) * BLOCK
        angle = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
        radius = rng.uniform(40, 200, (count, 1)) * rng.uniform(0.7, 1.0, (count, CORNERS))
        found.append(centre[:, None] + radius[..., None] * np.stack([np.cos(angle), np.sin(angle)], -1))
    return np.concatenate(found)


def _scene(name: str, ground: np.ndarray, day: int, rng: np.random.Generator) -> gpd.GeoDataFrame:
    from darts_core.vectors.schema import SLUMP_SCHEMA, frame_of

    seen = ground[rng.uniform(size=len(ground)) < FOUND]
    shapes = shapely.polygons(seen + rng.uniform(-15, 15, (len(seen), 1, 2)))
    mean = rng.uniform(0.55, 0.95, len(shapes))
    columns = {
        "id": [f"{name}-{number}" for number in range(len(shapes))],
        **{"scene": name, "tile": name[:5], "sensor": "S2", "models": "0123456789ab", "data_version": "v"},
        "acquired": pd.Timestamp("2021-07-01T21:00:19Z") + pd.Timedelta(days=day),
        **{"area_m2": shapely.area(shapes), "perimeter_m": shapely.length(shapes)},
        "pixel_count": (shapely.area(shapes) / 100).astype(int),
        **{"probability_min": 0.5, "probability_max": 0.99, "probability_mean": mean},
        **{"probability_median": mean, "probability_std": 0.1, "touches_edge": False, "low_quality": False},
    }
    return frame_of(columns, shapes, "EPSG:3413", SLUMP_SCHEMA)


def _zone(x: float, y: float) -> str:
    longitude, _ = Transformer.from_crs("EPSG:3413", "EPSG:4326", always_xy=True).transform(x, y)
    return f"EPSG:{32601 + int((longitude + 180) // 6) % 60}"


if __name__ == "__main__":
    main()
