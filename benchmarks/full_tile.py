"""A whole Sentinel-2 tile from delivery to the stitched raster, bicubic, on this machine: seconds and sizes an asset.

    python benchmarks/full_tile.py [--size 10980] [--prepare]

The made-up tile (four bands of hills, woods and texture, a nodata corner) and its products lie in `.bench/tile` and
need about 20 GB. `--prepare` only makes and registers it, to be materialized by hand in the UI:
`DARTS_HOME=.bench/tile make ui`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from pathlib import Path

ASSETS = ("raw_scene", "preprocessed", "sr_patches", "sr_geotiff")
HOME = Path(".bench", "tile").absolute()


def main() -> None:
    """Make the tile, then make its products one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=10980, help="rows and columns")
    parser.add_argument("--prepare", action="store_true", help="make no product")
    options = parser.parse_args()
    shutil.rmtree(HOME, ignore_errors=True)
    os.environ["DARTS_HOME"] = str(HOME)
    deliver(HOME / "scenes", options.size)

    from darts_assets.runs import add_scenes, instance_of, run_job
    from darts_core.scenes import find_scenes
    from darts_core.store import Store
    from resources.settings import Settings

    settings = Settings.load()
    store = Store(settings.products)
    with instance_of(settings) as instance:
        (key,) = add_scenes(instance, store, list(find_scenes(settings.scenes).scenes))
        print(f"{key}: {options.size} x {options.size} pixels in {settings.scenes}")
        for asset in () if options.prepare else ASSETS:
            outcome = run_job(instance, "process_scene", key, select=[asset])
            if outcome.error:
                raise SystemExit(outcome.error)
            print(
                f"{asset}: {outcome.seconds:.0f} s, {store.current(asset, key).manifest.size / 1e9:.2f} GB", flush=True
            )


def deliver(folder: Path, size: int) -> None:
    """Write the tile as a GeoTIFF with its STAC Item, in bands of rows."""
    import numpy as np
    import rasterio
    from rasterio.transform import from_origin
    from rasterio.windows import Window

    folder.mkdir(parents=True)
    rng = np.random.default_rng(11)
    profile = {
        **{"driver": "GTiff", "width": size, "height": size, "count": 4, "dtype": "uint16", "nodata": 0},
        **{"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "zstd", "num_threads": "all_cpus"},
        **{"crs": "EPSG:32608", "transform": from_origin(399960, 7500000, 10, 10)},
    }
    x = np.arange(size, dtype=np.float32)
    with rasterio.open(folder / "tile.tif", "w", **profile) as target:
        for top in range(0, size, 512):
            y = np.arange(top, min(top + 512, size), dtype=np.float32)[:, None]
            hills = np.sin(y / 310) * np.cos(x / 270) + 0.5 * np.sin((x + y) / 90)
            woods = (np.sin(x / 37) * np.sin(y / 41) > 0.4) * np.float32(350)
            values = [
                level + slope * hills + sign * woods + rng.normal(0, 25, hills.shape)
                for level, slope, sign in ((600, 80, -0.2), (900, 120, -0.1), (1000, 200, -0.5), (2600, 500, 1.0))
            ]
            numbers = np.clip(values, 1, 10_000).astype(np.uint16)
            numbers[:, (x + 2 * y) < size / 2] = 0
            target.write(numbers, window=Window(0, top, size, len(y)))
    described = [{"name": name, "raster:scale": 1e-4, "raster:offset": 0} for name in ("blue", "green", "red", "nir")]
    item = {
        **{"type": "Feature", "stac_version": "1.1.0", "id": "tile", "geometry": None, "links": []},
        "properties": {"datetime": "2024-07-21T21:00:19Z", "platform": "synthetic", "grid:code": "08WMA"},
        "assets": {"image": {"href": "./tile.tif", "bands": described}},
    }
    (folder / "tile.json").write_text(json.dumps(item))


if __name__ == "__main__":
    main()
