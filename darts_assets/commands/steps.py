"""The steps from a scene to its polygons as commands on files: each is one verb of `darts_core`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from darts_assets.commands.finding import find
from darts_assets.commands.options import with_parameters
from darts_assets.commands.scene_folder import SceneFolder, for_each, scene_folders
from darts_assets.commands.targets import UsageError
from darts_assets.terminal import console, teaching, windows_shown
from darts_assets.types import Dataset
from darts_core.coregistration.parameters import CoregistrationParameters
from darts_core.exports.products import STANDARD, Format
from darts_core.postprocessing.parameters import PostprocessParameters
from darts_core.preprocessing.parameters import PreprocessParameters
from darts_core.release.parameters import ReleaseParameters
from darts_core.segmentation.parameters import EnsembleParameters, SegmentParameters

if TYPE_CHECKING:
    from darts_core.release import SceneDetections
    from darts_core.vectors.polygons import Origin


@with_parameters(PreprocessParameters)
def preprocess(
    paths: list[str],
    *,
    out: Annotated[Path, typer.Option(help="Folder that gets a folder for each scene")],
    dem: Annotated[str | None, typer.Option(help="Elevation raster; without it no terrain features")] = None,
    trends: Annotated[str | None, typer.Option(help="Tasselled-cap trends; without it no trend features")] = None,
    reference: Annotated[
        str | None, typer.Option(help="Raster that scenes are first moved onto, if they lie off it")
    ] = None,
    parameters: PreprocessParameters,
) -> None:
    """Reflectance, indices, terrain, trends and quality of scenes: <out>/<scene>/preprocessed.zarr.

    PATHS are scenes, folders of scenes or s3:// prefixes.
    """
    with teaching():
        from darts_core.auxiliary import AuxiliarySources
        from darts_core.coregistration.coregister import coregister
        from darts_core.files import write_product
        from darts_core.preprocessing.preprocess import preprocess as verb
        from darts_core.scenes import read_scene

        scenes = {out / scene.key: scene for scene in find(paths).scenes}
        auxiliary = AuxiliarySources(dem=dem, trends=trends)

        def work(folder: SceneFolder) -> str:
            folder.path.mkdir(parents=True, exist_ok=True)
            raw = read_scene(scenes[folder.path])
            made = verb(raw if reference is None else coregister(raw, reference), auxiliary, parameters)
            write_product(made, folder.preprocessed, "preprocessed")
            return f"{made.sizes['y']} x {made.sizes['x']} pixels: {', '.join(map(str, made.data_vars))}"

        for_each([SceneFolder(path) for path in scenes], lambda folder: folder.preprocessed, work)


@with_parameters(SegmentParameters)
def segment(
    paths: list[Path],
    *,
    model: Annotated[list[Path], typer.Option(help="Checkpoint of a model; may be given more than once")],
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, or auto")] = "auto",
    parameters: SegmentParameters,
) -> None:
    """Thaw slump probability to each model: probabilities-<model>.tif.

    PATHS are folders of scenes that `preprocess` made, or folders that hold such.
    """
    with teaching():
        folders = scene_folders(paths)
        from darts_core.files import read_product
        from darts_core.inference.geotiff import write_cog
        from darts_core.segmentation import Segmenter

        segmenters = [Segmenter.load(path, device=device) for path in model]

        def work(folder: SceneFolder) -> str:
            native = read_product(folder.preprocessed, "preprocessed")
            there = folder.super_resolved.exists()
            finer = read_product(folder.super_resolved, "super_resolved") if there else None
            with windows_shown() as report:
                for one in segmenters:
                    made = one.stream(
                        native, finer, parameters, progress=lambda done, total, name=one.name: report(name, done, total)
                    )
                    write_cog(made, folder.probabilities(one.name))
            return f"by {', '.join(one.name for one in segmenters)}"

        for_each(folders, lambda folder: folder.probabilities("*"), work)


@with_parameters(EnsembleParameters)
def ensemble(paths: list[Path], *, parameters: EnsembleParameters) -> None:
    """Mean, spread and entropy over the models of a scene: ensemble.tif.

    PATHS are folders of scenes that `segment` has been through, or folders that hold such.
    """
    with teaching():
        folders = scene_folders(paths)
        from darts_core.ensemble import ensemble as verb
        from darts_core.files import read_rasters, write_product

        def work(folder: SceneFolder) -> str:
            made = verb(read_rasters(folder.all_probabilities(), "segmentation"), parameters)
            write_product(made, folder.ensemble, "ensemble")
            return f"of {', '.join(made.attrs['models'])}"

        for_each(folders, lambda folder: folder.ensemble, work)


@with_parameters(PostprocessParameters)
def postprocess(
    paths: list[Path],
    *,
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="Where no slump can be (water, glaciers): GeoTIFF, VRT or polygons; may be given again"),
    ] = None,
    parameters: PostprocessParameters,
) -> None:
    """Slump or not, where that can be told: segmentation_mask.tif.

    PATHS are folders of scenes that have an ensemble.tif, or folders that hold such.
    """
    with teaching():
        folders = scene_folders(paths)
        from darts_core.exclusions import read_excluded
        from darts_core.files import read_product, write_product
        from darts_core.grids import refine
        from darts_core.postprocessing import postprocess as verb

        def work(folder: SceneFolder) -> str:
            combined = read_product(folder.need(folder.ensemble, "ensemble"), "ensemble")
            quality = refine(read_product(folder.preprocessed, "preprocessed")["quality_level"], combined)
            excluded = read_excluded(exclude, combined) if exclude else None
            write_product(verb(combined, quality, parameters, excluded), folder.mask, "postprocessed")
            made = read_product(folder.mask, "postprocessed")
            return f"{int(made['binarized_segmentation'].sum()):,} pixels of slump"

        for_each(folders, lambda folder: folder.mask, work)


def vectorize(paths: list[Path]) -> None:
    """The slumps of a scene as polygons with their statistics: slump_polygons.parquet.

    PATHS are folders of scenes that have a segmentation_mask.tif, or folders that hold such.
    """
    with teaching():
        folders = scene_folders(paths)
        from darts_core.files import read_product
        from darts_core.grids import refine
        from darts_core.vectors.files import write_geoparquet
        from darts_core.vectors.polygons import vectorize as verb

        def work(folder: SceneFolder) -> str:
            mask = read_product(folder.need(folder.mask, "postprocess"), "postprocessed")
            scene = read_product(folder.preprocessed, "preprocessed")
            frame = verb(mask, _origin(folder, scene, mask), refine(scene["quality_level"], mask))
            write_geoparquet(frame, folder.polygons)
            return f"{len(frame)} slumps, {frame['area_m2'].sum() / 1e4:.2f} ha"

        for_each(folders, lambda folder: folder.polygons, work)


def export(
    paths: list[Path],
    *,
    out: Annotated[Path, typer.Option(help="Folder that gets the files of all scenes")],
    format: Annotated[
        list[Format] | None,
        typer.Option(help=f"May be given more than once (default: {', '.join(STANDARD)})"),
    ] = None,
) -> None:
    """What was made of a scene as files for others, <out>/<scene>_<what>: rasters, polygons, pictures, a STAC Item.

    PATHS are folders of scenes that have slump_polygons.parquet, or folders that hold such.
    """
    with teaching():
        folders = scene_folders(paths)
        import geopandas as gpd

        from darts_core.exports import SceneProducts
        from darts_core.exports import export as verb
        from darts_core.files import read_product, read_rasters

        def work(folder: SceneFolder) -> str:
            polygons = gpd.read_parquet(folder.need(folder.polygons, "vectorize"))
            mask = read_product(folder.need(folder.mask, "postprocess"), "postprocessed")
            scene = read_product(folder.preprocessed, "preprocessed")
            models = read_rasters(folder.all_probabilities(), "segmentation")
            out.mkdir(parents=True, exist_ok=True)
            written = verb(
                SceneProducts(_origin(folder, scene, mask), mask, polygons, models, scene), out, format or STANDARD
            )
            return ", ".join(path.name for files in written.values() for path in files)

        for_each(folders, lambda _: out, work)


def _origin(folder: SceneFolder, scene: Dataset, mask: Dataset) -> Origin:
    """What the polygons of a scene say of where they come from."""
    from darts_core.manifests import file_digest
    from darts_core.vectors.polygons import Origin

    return Origin.of(scene.attrs, str(mask.attrs.get("model_digests", "")).split(","), file_digest(folder.mask))


@with_parameters(ReleaseParameters)
def release(
    paths: list[Path],
    *,
    season: Annotated[str, typer.Option(help="Year, four digits")],
    out: Annotated[Path, typer.Option(help="Folder of the release; must not exist")],
    extents: Annotated[
        Path | None,
        typer.Option(help="Of polygon files: GeoParquet with scene, sensor, acquired and the area that was looked at"),
    ] = None,
    previous: Annotated[Path | None, typer.Option(help="Folder of the release whose slumps keep their ids")] = None,
    parameters: ReleaseParameters,
) -> None:
    """Merge the slumps of many scenes, each once: GeoParquet, GeoPackage, coverage, a map, a STAC Collection.

    PATHS are folders of scenes that have slump_polygons.parquet, folders that hold such, or GeoParquet files of
    polygons.
    """
    with teaching():
        from darts_core.release import release_files, release_scenes

        files = [path for path in paths if path.suffix == ".parquet"]
        if files and len(files) < len(paths):
            raise UsageError("PATHS are folders of scenes, or files of polygons; release one kind at a time")
        if files:
            release_files(files, out, season, parameters, extents=extents, previous=previous)
        elif extents is not None:
            raise UsageError("--extents is for files of polygons; folders of scenes know where was looked")
        else:
            scenes = (_detections(folder) for folder in scene_folders(paths))
            release_scenes(scenes, out, season, parameters, previous=previous)
        console.print(f"{out}: {', '.join(sorted(path.name for path in out.iterdir()))}", highlight=False)


def _detections(folder: SceneFolder) -> SceneDetections:
    """What was found in a scene, and where it was looked for."""
    import geopandas as gpd

    from darts_core.files import read_product
    from darts_core.release import Look, SceneDetections, read_extent

    polygons = gpd.read_parquet(folder.need(folder.polygons, "vectorize"))
    scene = read_product(folder.preprocessed, "preprocessed").attrs
    return SceneDetections(polygons, Look.of(scene, read_extent(folder.mask)))


@with_parameters(CoregistrationParameters)
def coregister(
    paths: list[str],
    *,
    reference: Annotated[str, typer.Option(help="Raster that lies where it should")],
    parameters: CoregistrationParameters,
) -> None:
    """Say how far scenes lie off a reference; `preprocess --reference` moves them.

    PATHS are scenes, folders of scenes or s3:// prefixes.
    """
    with teaching():
        from darts_core.coregistration.coregister import measure_shift
        from darts_core.scenes import read_scene

        for scene in find(paths).scenes:
            shift = measure_shift(read_scene(scene), reference, parameters)
            console.print(
                f"{scene.key}: {shift.x_m:+.2f} m along x, {shift.y_m:+.2f} m along y ({shift.columns:+.2f} columns, "
                f"{shift.rows:+.2f} rows), reliability {shift.reliability:.0f} %, {shift.windows} of {shift.compared} "
                "windows",
                highlight=False,
            )
