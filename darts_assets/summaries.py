"""What people look at: the facts and pictures of each product, made from it as it was stored."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from darts_assets.types import Dataset, GeoDataFrame, StoredFile, StoredShards
from darts_core import maps, pictures
from darts_core.contracts import REFLECTANCE, variable
from io_managers.base import Summary

if TYPE_CHECKING:
    import xarray as xr

    from darts_core.inference.shards import ShardSet

_PATCHES_SHOWN = 8
_UPSCALED_SHOWN = 4


def summarize_scene(dataset: Dataset) -> Summary:
    """A true-colour quicklook and the grid (axes y, x)."""
    return {"quicklook": pictures.true_colour(dataset), **_grid(dataset)}


def summarize_preprocessed(dataset: Dataset) -> Summary:
    """Quicklooks, and how much of the scene can be used."""
    quality = dataset["quality_level"]
    return {
        "quicklook": pictures.true_colour(dataset),
        **({"ndvi": pictures.heat(dataset["ndvi"], -0.2, 0.9)} if "ndvi" in dataset else {}),
        "share of valid pixels": round(float(dataset["valid_data_mask"].mean()), 4),
        "share of high quality": round(float((quality == 2).mean()), 4),
        "features": ", ".join(map(str, dataset.data_vars)),
        **_grid(dataset),
    }


def summarize_shards(stored: StoredShards, scene: Dataset) -> Summary:
    """Some of the windows that were predicted of a scene, and how many there are; or that it passed unchanged."""
    made = stored.shards
    if not made.shards:
        return {
            "passed unchanged": True,
            "why": "the scene is at or below the target resolution",
            **_where(*_extents([scene])),
        }
    return {
        "windows": _some_windows(made),
        "passed unchanged": False,
        "model": made.model,
        "factor": made.plan.factor,
        "shards": len(made.shards),
        "windows of the plan": len(made.plan),
        "window (pixels)": f"{made.plan.window[1]} x {made.plan.window[0]}",
        "overlap (pixels)": made.plan.overlap,
        "border (pixels)": made.plan.border,
        **_where(*_extents([scene])),
    }


def _some_windows(made: ShardSet) -> str:
    numbers = made.numbers()
    places = np.unique(np.linspace(0, len(numbers) - 1, _PATCHES_SHOWN).astype(int))
    row = variable(made.product, made.bands[0])
    nodata = row.nodata if row else None
    windows = [codes for _, codes in made.windows([numbers[place] for place in places])]
    # each is stretched by itself, so that its codes do as well as reflectance
    return pictures.contact_sheet([np.where(codes == nodata, np.nan, codes) for codes in windows], None, made.bands)


def summarize_probabilities(dataset: Dataset) -> Summary:
    """For each raster a picture and the distribution of its values."""
    counts = {str(name): _histogram(array) for name, array in dataset.data_vars.items()}
    summary: Summary = {"histograms": {name: counted.tolist() for name, counted in counts.items()}}
    for name, array in dataset.data_vars.items():
        summary[str(name)] = pictures.heat(array, 0.0, 1.0)
        summary[f"{name} (histogram, log)"] = pictures.histogram(counts[str(name)])
        summary[f"{name} mean"] = round(float(array.mean()), 4)
        summary[f"{name} share of nodata"] = round(float(array.isnull().mean()), 4)
    return {**summary, **_grid(dataset)}


def summarize_mask(dataset: Dataset) -> Summary:
    """Where slumps are, and on how much of the scene they were looked for."""
    mask, extent = dataset["binarized_segmentation"], dataset["extent"]
    pixel = abs(float(dataset.rio.resolution()[0] * dataset.rio.resolution()[1]))
    return {
        "quicklook": pictures.heat(mask.where(extent), 0, 1),
        "slump area (ha)": round(float(mask.sum()) * pixel / 1e4, 3),
        "share looked at": round(float(extent.mean()), 4),
        **_grid(dataset),
    }


def summarize_polygons(frame: GeoDataFrame) -> Summary:
    """A map of the polygons and what they add up to."""
    return {
        "map": pictures.outlines(frame),
        "polygons": len(frame),
        "area (ha)": round(float(frame["area_m2"].sum()) / 1e4, 3),
        "crs": str(frame.crs),
        **({} if frame.empty else _where((frame.total_bounds, frame.crs))),
    }


def summarize_release(stored: StoredFile) -> Summary:
    """Where was looked and what was found, and what it adds up to."""
    from PIL import Image

    told = json.loads(stored.path.read_text())["summaries"]
    with Image.open(stored.beside("thumbnail.png")) as picture:
        return {
            "map": pictures.data_uri(picture.convert("RGB")),
            "polygons": told["slumps"][0],
            "area (ha)": round(told["area_m2"][0] / 1e4, 3),
            "scenes": told["scenes"][0],
            "crs": "EPSG:3413",
        }


def _grid(dataset: Dataset) -> Summary:
    left, bottom, right, top = dataset.rio.bounds()
    return {
        "size (pixels)": f"{dataset.sizes['x']} x {dataset.sizes['y']}",
        "resolution (m)": round(abs(float(dataset.rio.resolution()[0])), 4),
        "crs": str(dataset.rio.crs),
        "bounds (left, bottom, right, top)": f"{left:.6g}, {bottom:.8g}, {right:.6g}, {top:.8g}",
        **_where(*_extents([dataset])),
    }


def _where(*areas: tuple[Sequence[float], Any]) -> Summary:
    """A map of the north with areas on it (left, bottom, right, top, and their CRS); nothing where none lies there."""
    located = maps.whereabouts(*areas)
    return {} if located is None else {"where": located}


def _extents(scenes: Iterable[Dataset]) -> list[tuple[Sequence[float], Any]]:
    return [(scene.rio.bounds(), scene.rio.crs) for scene in scenes]


def _histogram(array: xr.DataArray) -> Any:
    values = array.values
    return np.histogram(values[~np.isnan(values)], bins=50, range=(0.0, 1.0))[0]


def summarize_patches(patches: Dataset) -> Summary:
    """Some of the patches with their truth, how many there are, how they are split, and where they come from."""
    slumps = (patches["mask"] == 1).sum(("y", "x")).values
    some = _with_most_to_see(patches, slumps)
    return {
        "patches with truth": pictures.contact_sheet(some["image"].values, some["mask"].values, patches.attrs["bands"]),
        "patches": int(patches.sizes["patch"]),
        "for validation": int(patches["validation"].sum()),
        "with slumps": int((slumps > 0).sum()),
        "bands": ", ".join(patches.attrs["bands"]),
        "input": patches.attrs["input"],
        "scenes": list(patches.attrs["scenes"]),
        **_where(*_origins(patches)),
    }


def _origins(patches: Dataset) -> list[tuple[Sequence[float], Any]]:
    """Where the scenes of training patches lie; patches of an earlier version do not say."""
    return list(zip(patches.attrs.get("bounds", ()), patches.attrs.get("crs", ()), strict=True))


def _with_most_to_see(patches: Dataset, slumps: Any) -> Dataset:
    """Images and masks of those with most slump pixels, in the order in which they lie in the set."""
    shown = np.sort(np.argsort(-slumps, kind="stable")[:_PATCHES_SHOWN])
    return patches[["image", "mask"]].isel(patch=shown).compute()


def summarize_segmentation_model(file: StoredFile, patches: Dataset) -> Summary:
    """How good the model was on what was kept for validation, what it found there, and where it learned."""
    from darts_core.training.samples import slumps_found

    held = patches.isel(patch=np.flatnonzero(patches["validation"].values))
    some = _with_most_to_see(held, (held["mask"] == 1).sum(("y", "x")).values)
    images, truth = some["image"].values, some["mask"].values
    found = slumps_found(file.path, images)
    title = "kept for validation: truth yellow, found blue"
    picture = pictures.contact_sheet(images, truth, patches.attrs["bands"], found=found)
    return {title: picture, **_metrics(file), **_where(*_origins(patches))}


def summarize_upscaler(file: StoredFile, scenes: Sequence[Dataset]) -> Summary:
    """How good the model was on what was kept for validation, what it restores, and where it learned."""
    from darts_core.training.samples import restored

    parts = restored(file.path, scenes[:_UPSCALED_SHOWN])
    title = "degraded, restored, as it is"
    picture = (
        {title: pictures.contact_sheet(parts, None, [row.name for row in REFLECTANCE], columns=3)} if parts else {}
    )
    return {**picture, **_metrics(file), **_where(*_extents(scenes))}


def _metrics(file: StoredFile) -> Summary:
    metrics = json.loads(file.beside(".json").read_text())
    return {name: round(value, 4) for name, value in metrics.items()}


def summarize_evaluation(file: StoredFile, scenes: Iterable[Dataset]) -> Summary:
    """Agreement of pixels and objects, a row a scene, and where the scenes lie."""
    from darts_core.evaluation.scenes import ModelEvaluation

    made = ModelEvaluation.model_validate_json(file.path.read_text())
    lines = ["| scene | IoU | F1 | precision | recall | best threshold |", "| --- | --- | --- | --- | --- | --- |"]
    for key, report in made.scenes.items():
        one = report.scores
        values = (one.iou, one.f1, one.precision, one.recall, report.best_threshold)
        cells = (key, *(f"{value:.3f}" for value in values))
        lines.append(f"| {' | '.join(cells)} |")
    return {"agreement": "\n".join(lines), "trained on every pixel of": made.left_out, **_where(*_extents(scenes))}
