"""`darts-assets super-resolve`: scenes in, finer rasters out, without settings or run history."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from pydantic import ValidationError

from darts_assets.commands.batch import Batch, run_batch
from darts_assets.commands.targets import Looks, UsageError, refuse_existing, targets_of
from darts_assets.terminal import teaching
from darts_core.superresolution.parameters import SuperResolveParameters
from darts_core.windows import Ramp

if TYPE_CHECKING:
    from darts_core.superresolution.inputs import BandSet
    from darts_core.superresolution.upscaler import Upscaler

_input = partial(typer.Option, rich_help_panel="Input")
_model = partial(typer.Option, rich_help_panel="Model and windows (sizes in pixels of the scene)")
_output = partial(typer.Option, rich_help_panel="Output")
_look = partial(typer.Option, rich_help_panel="Looking at it")


def super_resolve(
    paths: list[str],
    *,
    bands: Annotated[Literal["10m", "20m"] | None, _input(help="Bands of Sentinel-2; by default the model's")] = None,
    scale: Annotated[float | None, _input(help="Reflectance = number * scale + offset, not as metadata say")] = None,
    offset: Annotated[float | None, _input(help="See --scale")] = None,
    nodata: Annotated[float | None, _input(help="Number that marks no data, not as metadata say")] = None,
    band_order: Annotated[str | None, _input(help="Bands of a raster file in order: B04,B03,B02,B08")] = None,
    aoi: Annotated[str | None, _input(help="Area: minx,miny,maxx,maxy, or a file with polygons")] = None,
    aoi_crs: Annotated[str | None, _input(help="CRS of the four numbers, as EPSG:4326; else the scene's")] = None,
    model: Annotated[str, _model(help="nearest, bilinear, bicubic, a model file, or an entry point")],
    factor: Annotated[int | None, _model(min=1, help="Of an interpolation; else 4")] = None,
    window: Annotated[int | None, _model(help="A side of a window; else the model's, or 128")] = None,
    overlap: Annotated[int | None, _model(help="Shared by neighbouring windows; else as the border needs")] = None,
    border: Annotated[int | None, _model(help="Outermost pixels left out; else the model's reach")] = None,
    ramp: Annotated[Ramp, _model(help="How windows blend")] = Ramp.SIGMOID,
    batch_size: Annotated[int | None, _model(help="Windows at once on a GPU; else the model's")] = None,
    device: Annotated[str, _model(help="cpu, cuda, cuda:1, mps, or auto")] = "auto",
    out: Annotated[Path | None, _output(help="A .tif, or a folder; else <scene>_sr.tif in the working folder")] = None,
    format: Annotated[Literal["cog", "geotiff"], _output(help="zstd and overviews, or plain tiles")] = "cog",
    mode: Annotated[
        Literal["direct", "shards"], _output(help="shards: keep windows in <out>.shards, to go on after a kill")
    ] = "direct",
    shard_mb: Annotated[
        int | None, _output(min=1, help="Megabytes of a shard, lost at most by a kill; else 256")
    ] = None,
    keep_shards: Annotated[bool, _output("--keep-shards", help="Do not remove them at the end")] = False,
    overwrite: Annotated[bool, _output("--overwrite", help="Replace outputs, once the new ones are whole")] = False,
    first: Annotated[int | None, _output(min=1, help="Only the first N windows; the rest becomes nodata")] = None,
    preview: Annotated[bool, _look("--preview", help="A pair of small pictures, before and after")] = False,
    excerpt: Annotated[int | None, _look(min=1, help="A pair of GeoTIFFs this many pixels of the scene a side")] = None,
    excerpt_at: Annotated[str | None, _look(help="Middle of both as x,y in the scene's CRS; else its centre")] = None,
    dry_run: Annotated[bool, _look("--dry-run", help="Only say what it would take; writes nothing")] = False,
) -> None:
    """Make finer rasters of scenes, by a model's factor, whatever their resolution.

    PATHS are GeoTIFFs, .SAFE folders or their zips, S2GM folders, Planet orders, or folders of many of these.

    The exit code is 0 where all succeeded, 1 where a scene failed, and 2 where nothing could start.
    """
    with teaching():
        looks = Looks.of(preview, excerpt, excerpt_at)
        _refuse_idle(mode, keep_shards or shard_mb is not None, first, aoi, aoi_crs)
        parameters = _parameters(window=window, overlap=overlap, border=border, ramp=ramp, batch_size=batch_size)
        targets = targets_of(paths, out)
        if not dry_run:
            refuse_existing(targets, looks, overwrite)

        from darts_core.inference.device import resolve_device
        from darts_core.superresolution.area import read_area
        from darts_core.superresolution.inputs import open_input
        from darts_core.superresolution.outputs import Format, Mode, RasterJob

        where = resolve_device(device)
        upscaler, band_set = _upscaler(model, bands, factor, where)
        if window is None and upscaler.window is not None:
            parameters = parameters.model_copy(update={"window": upscaler.window})
        order = None if band_order is None else [name.strip() for name in band_order.split(",")]
        batch = Batch(
            opening=partial(open_input, bands=band_set, scale=scale, offset=offset, nodata=nodata, band_order=order),
            area=None if aoi is None else read_area(aoi, aoi_crs),
            job=partial(
                RasterJob,
                upscaler=upscaler,
                parameters=parameters,
                mode=Mode(mode),
                format=Format(format),
                device=where,
                first=first,
                keep_shards=keep_shards,
                shard_bytes=None if shard_mb is None else shard_mb * 1024**2,
            ),
            looks=looks,
        )
        failed = run_batch(targets, batch.estimate if dry_run else batch.make)
    raise typer.Exit(1 if failed else 0)


def _refuse_idle(mode: str, shards: bool, first: int | None, aoi: str | None, aoi_crs: str | None) -> None:
    """Refuse options that would do nothing."""
    if shards and mode == "direct":
        raise UsageError(
            "--keep-shards and --shard-mb are about what --mode shards writes; add that, or leave them out"
        )
    if first is not None and mode == "shards":
        raise UsageError("--first is for a quick look in --mode direct; shards are of whole scenes. Leave one out")
    if aoi_crs is not None and aoi is None:
        raise UsageError("--aoi-crs says in which CRS the numbers of --aoi are; give --aoi too")


def _parameters(**given: Any) -> SuperResolveParameters:
    """What was given; the rest is as ever."""
    try:
        return SuperResolveParameters(
            target_resolution=None, **{name: value for name, value in given.items() if value is not None}
        )
    except ValidationError as error:
        said = "; ".join(
            f"--{one['loc'][0]}: {one['msg']}, received {one['input']}".replace("_", "-") for one in error.errors()
        )
        raise UsageError(said) from error


def _upscaler(model: str, bands: str | None, factor: int | None, device: str) -> tuple[Upscaler, BandSet]:
    from darts_core.superresolution.inputs import BandSet
    from darts_core.superresolution.interpolation import Interpolation
    from darts_core.superresolution.upscalers import interpolation, load_upscaler

    if model in set(Interpolation):
        chosen = BandSet(bands or BandSet.TEN)
        return interpolation(Interpolation(model), factor or 4, chosen.bands), chosen
    if factor is not None:
        raise UsageError(f"--factor is for {', '.join(Interpolation)}; {model} has a factor of its own. Leave it out")
    upscaler = load_upscaler(model, device=device)
    fitting = (one for one in BandSet if set(upscaler.bands) <= set(one.bands))
    return upscaler, BandSet(bands) if bands else next(fitting, BandSet.TEN)
