"""A loaded segmentation model, and how it runs over whole scenes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from darts_core import contracts
from darts_core.contracts import ContractError
from darts_core.grids import Grid
from darts_core.inference.blocks import Block
from darts_core.inference.device import resolve_device
from darts_core.inference.geotiff import RasterStream, contract_rows
from darts_core.inference.mosaic import mosaic, visiting_order
from darts_core.inference.predict import Predicted, Work, predict_scenes
from darts_core.inference.source import DatasetSource, NormalizedSource, ReflectedSource, WindowSource, occupied
from darts_core.memory import give_back
from darts_core.segmentation import compatible
from darts_core.segmentation.checkpoint import CheckpointConfig, load_checkpoint, restore
from darts_core.segmentation.composed import ComposedSource
from darts_core.segmentation.finding import checkpoint_digest, model_name
from darts_core.segmentation.fusing import fused
from darts_core.segmentation.heads import probabilities
from darts_core.segmentation.parameters import Compat, Input, SegmentParameters
from darts_core.store import check_name
from darts_core.windows import Plan, PlanError, Progress, plan

PRODUCT = "segmentation"
MULTIPLE = 32
"""What encoders of five stages need height and width to be a multiple of."""


@dataclass(frozen=True, slots=True)
class Segmenter:
    """A segmentation model on a device, loaded once for many scenes."""

    module: torch.nn.Module
    """From model input (batch, bands, y, x), multiples of `MULTIPLE`, to logits (batch, 1, y, x)."""
    config: CheckpointConfig
    name: str
    digest: str
    """sha256 of the checkpoint; see `checkpoint_digest`."""
    device: str

    @classmethod
    def load(cls, path: str | Path, device: str = "cpu", name: str | None = None) -> Segmenter:
        """Load a checkpoint of any generation; no code of the file is run and nothing is downloaded.

        Args:
            path: a file, or the folder of a training run of DARTS's predecessor.
            device: ``auto`` or torch's name of one.
            name: what the model goes by; by default what the checkpoint says, else the file's name.

        Raises:
            WeightsError: not a checkpoint, an unknown architecture, weights that do not fit, unknown bands.
            CheckpointNotFound: a folder that is no training run.
            AcceleratorError: the device is not there.
            StoreError: a name that cannot be a file's.
        """
        path, device = Path(path), resolve_device(device)
        checkpoint = load_checkpoint(path)
        config = checkpoint.config
        network = fused(restore(checkpoint, path), len(config.input_combination))
        placed = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        del checkpoint, network
        give_back()
        known_as = check_name(name or config.name or model_name(path), "model name")
        return cls(placed, config, known_as, checkpoint_digest(path), device)

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands that the scene has to have, in the order of the model's input."""
        return tuple(self.config.input_combination)

    @property
    def variable(self) -> str:
        """The variable that the model makes."""
        return f"probabilities-{self.name}"

    def inference(
        self,
        dataset: xr.Dataset,
        super_resolved: xr.Dataset | None = None,
        parameters: SegmentParameters | None = None,
        *,
        progress: Progress | None = None,
    ) -> xr.Dataset:
        """Probabilities of a scene in memory.

        Args:
            dataset: memory form of the preprocessed contract.
            super_resolved: its super-resolved reflectance, for a model that was trained on such.
            progress: told the patches done and in all.

        Returns:
            The product `segmentation`: float32 0..1 (y, x), NaN where the scene is not valid, on the grid of what
            the model saw. The variable's attribute `score` is the checkpoint's, where it has one.

        Raises:
            ContractError: the scene lacks a band.
        """
        return self.inference_batched([dataset], [super_resolved], parameters, progress=progress)[0]

    def inference_batched(
        self,
        datasets: Sequence[xr.Dataset],
        super_resolved: Sequence[xr.Dataset | None] | None = None,
        parameters: SegmentParameters | None = None,
        *,
        progress: Progress | None = None,
    ) -> list[xr.Dataset]:
        """As `inference` of each scene, while the windows of all of them go through the model without a pause.

        Args:
            datasets: scenes of any size and place.
            super_resolved: one, or None, a scene.
            progress: told the patches done and in all, over all scenes.
        """
        finer = super_resolved if super_resolved is not None else [None] * len(datasets)
        seen = [self._source(dataset, fine) for dataset, fine in zip(datasets, finer, strict=True)]
        made = []
        streams = self._blocks([source for source, _ in seen], parameters or SegmentParameters(), progress)
        for (source, scene), blocks in zip(seen, streams, strict=True):
            values = np.empty(source.shape, np.float32)
            for block in blocks:
                _, rows, cols = block.data.shape
                values[block.row : block.row + rows, block.col : block.col + cols] = block.data[0]
            bare = xr.Dataset({self.variable: (("y", "x"), values, self._facts)}, coords=scene.coords)
            made.append(contracts.conform(bare, PRODUCT, self._data_source))
        return made

    def stream(
        self,
        dataset: xr.Dataset,
        super_resolved: xr.Dataset | None = None,
        parameters: SegmentParameters | None = None,
        *,
        progress: Progress | None = None,
    ) -> RasterStream:
        """As `inference`, but predicted while it is written; nothing holds the whole scene."""
        source, scene = self._source(dataset, super_resolved)
        encode = contract_rows(PRODUCT, (self.variable,))[0].encode
        chosen = parameters or SegmentParameters()
        self._tiled(source, chosen)  # what is wrong with them is said now, not while the file is written

        def blocks() -> Iterator[Block]:
            for stream in self._blocks([source], chosen, progress):
                for block in stream:
                    yield Block(block.row, block.col, encode(block.data))

        return RasterStream(
            PRODUCT,
            (self.variable,),
            Grid.of(scene),
            blocks,
            {self.variable: self._data_source},
            {"model": self.name, "model_digest": self.digest},
            {self.variable: {name: str(value) for name, value in self._facts.items()}},
        )

    @property
    def _facts(self) -> dict[str, float]:
        """What an ensemble may want to know of the model."""
        return {} if self.config.score is None else {"score": self.config.score}

    @property
    def _data_source(self) -> str:
        return f"model {self.name}, sha256 {self.digest}"

    def _source(self, dataset: xr.Dataset, super_resolved: xr.Dataset | None) -> tuple[WindowSource, xr.Dataset]:
        """What the model reads, and the dataset on whose grid it lies."""
        try:
            if self.config.input is Input.SUPER_RESOLVED and super_resolved is not None:
                return ComposedSource(dataset, super_resolved, self.bands), super_resolved
            return DatasetSource(dataset, self.bands), dataset
        except ContractError as error:
            scene = dataset.attrs.get("scene", "a scene")
            raise ContractError(f"Model {self.name} does not fit {scene}: {error}") from error

    def _tiled(self, source: WindowSource, parameters: SegmentParameters) -> tuple[WindowSource, Plan]:
        """A scene as the model's input, and the windows over it."""
        size = parameters.patch_size or self.config.patch_size
        overlap = size // 4 if parameters.overlap is None else parameters.overlap
        seen: WindowSource = NormalizedSource(source, self.config.scaling)
        if parameters.compat is Compat.DARTS:
            if 2 * overlap > size:
                raise PlanError(f"With compat darts two ramps fit into a patch; received {overlap} twice in {size}")
            seen = ReflectedSource(seen, parameters.reflection + compatible.EDGE)
        return seen, plan(*seen.shape, window=(size, size), overlap=overlap, ramp=parameters.ramp)

    def _work(self, source: WindowSource, parameters: SegmentParameters) -> Work:
        """The windows that hold data, in the order in which they are put together."""
        seen, tiling = self._tiled(source, parameters)
        windows = occupied(seen, tiling)
        in_order = windows if parameters.compat is Compat.DARTS else visiting_order(tiling, 1, windows)
        return Work(seen, tiling, in_order)

    def _blocks(
        self, sources: Sequence[WindowSource], parameters: SegmentParameters, progress: Progress | None
    ) -> Iterator[Iterator[Block]]:
        """A stream of blocks a scene, to be used up before the next: float32, NaN where the scene is not valid."""
        temperature = self.config.temperature if parameters.temperature is None else parameters.temperature
        works = [self._work(source, parameters) for source in sources]
        predicted = predict_scenes(
            probabilities(self.module, parameters.augment, temperature),
            works,
            batch_size=parameters.batch_size,
            device=self.device,
            multiple=MULTIPLE,
            progress=progress,
        )
        for work, source, patches in zip(works, sources, _scene_by_scene(predicted, len(works)), strict=True):
            if parameters.compat is Compat.DARTS:
                yield compatible.blocks(patches, work.plan, parameters.reflection + compatible.EDGE, source.valid)
            else:
                yield mosaic(patches, work.plan, 1, nodata=np.nan, valid=source.valid, dtype="float32")


Patches = Iterator[tuple[int, torch.Tensor]]
"""Number in the plan, and probabilities (1, height, width)."""


def _scene_by_scene(predicted: Iterator[Predicted], scenes: int) -> Iterator[Patches]:
    """The patches of each scene, also of one that has none."""
    groups = groupby(predicted, key=lambda one: one[0])
    coming = next(groups, None)
    for scene in range(scenes):
        if coming is None or coming[0] != scene:
            yield iter(())
            continue
        yield ((number, values) for _, number, values in coming[1])
        coming = next(groups, None)
