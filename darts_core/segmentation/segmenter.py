"""A loaded segmentation model, and how it runs over whole scenes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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
from darts_core.inference.predict import predict
from darts_core.inference.source import DatasetSource, NormalizedSource, WindowSource, occupied
from darts_core.manifests import file_digest
from darts_core.segmentation.checkpoint import (
    CheckpointConfig,
    load_checkpoint,
    restore,
)
from darts_core.segmentation.composed import ComposedSource
from darts_core.segmentation.parameters import Input, SegmentParameters
from darts_core.store import check_name
from darts_core.windows import Plan, Progress, plan

PRODUCT = "segmentation"
MULTIPLE = 32
"""What encoders of five stages need height and width to be a multiple of."""


class _Probability(torch.nn.Module):
    """The model with its logits made probabilities."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.module(x))


@dataclass(frozen=True, slots=True)
class Segmenter:
    """A segmentation model on a device, loaded once for many scenes."""

    module: torch.nn.Module
    """From model input (batch, bands, y, x) in 0..1 to probabilities (batch, 1, y, x)."""
    config: CheckpointConfig
    name: str
    digest: str
    """sha256 of the checkpoint file."""
    device: str

    @classmethod
    def load(cls, path: str | Path, device: str = "cpu", name: str | None = None) -> Segmenter:
        """Load a checkpoint; no code of the file is run and nothing is downloaded.

        Args:
            device: ``auto`` or torch's name of one.
            name: what the model goes by; by default what the checkpoint says, else the file's name.

        Raises:
            WeightsError: not a checkpoint, an unknown architecture, weights that do not fit, unknown bands.
            AcceleratorError: the device is not there.
            StoreError: a name that cannot be a file's.
        """
        path = Path(path)
        checkpoint = load_checkpoint(path)
        module = _Probability(restore(checkpoint, path)).eval()
        placed = module.to(resolve_device(device), memory_format=torch.channels_last)  # type: ignore[call-overload]
        known_as = check_name(name or checkpoint.config.name or path.stem, "model name")
        return cls(placed, checkpoint.config, known_as, file_digest(path), device)

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
            the model saw.

        Raises:
            ContractError: the scene lacks a band.
        """
        source, scene = self._source(dataset, super_resolved)
        values = np.empty(source.shape, np.float32)
        for block in self._blocks(source, parameters or SegmentParameters(), progress):
            _, rows, cols = block.data.shape
            values[block.row : block.row + rows, block.col : block.col + cols] = block.data[0]
        bare = xr.Dataset({self.variable: (("y", "x"), values)}, coords=scene.coords)
        return contracts.conform(bare, PRODUCT, self._data_source)

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
        self._plan(source, chosen)

        def blocks() -> Iterator[Block]:
            for block in self._blocks(source, chosen, progress):
                yield Block(block.row, block.col, encode(block.data))

        return RasterStream(
            PRODUCT,
            (self.variable,),
            Grid.of(scene),
            blocks,
            {self.variable: self._data_source},
            {"model": self.name, "model_digest": self.digest},
        )

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

    def _plan(self, source: WindowSource, parameters: SegmentParameters) -> Plan:
        size = parameters.patch_size or self.config.patch_size
        overlap = size // 4 if parameters.overlap is None else parameters.overlap
        return plan(*source.shape, window=(size, size), overlap=overlap, ramp=parameters.ramp)

    def _blocks(
        self, source: WindowSource, parameters: SegmentParameters, progress: Progress | None
    ) -> Iterator[Block]:
        """Probabilities as float32, NaN where the scene is not valid."""
        patches = self._plan(source, parameters)
        probabilities = predict(
            self.module,
            NormalizedSource(source),
            patches,
            windows=visiting_order(patches, 1, occupied(source, patches)),
            batch_size=parameters.batch_size,
            device=self.device,
            multiple=MULTIPLE,
            progress=progress,
        )
        return mosaic(probabilities, patches, 1, nodata=np.nan, valid=source.valid, dtype="float32")
