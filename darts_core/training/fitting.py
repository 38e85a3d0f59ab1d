"""What every training here shares: one Lightning run with AdamW and one cycle, and the same result each time."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader, IterableDataset

from darts_core.inference.device import resolve_device
from darts_core.memory import freed_is_kept
from darts_core.windows import Progress


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A checkpoint, and how good it is."""

    path: Path
    metrics: Mapping[str, float]
    """On patches that were kept for validation, by name."""


def recorded(model: TrainedModel) -> TrainedModel:
    """`model`, with its metrics written beside the checkpoint, as JSON of the same name."""
    model.path.with_suffix(".json").write_text(json.dumps(dict(model.metrics), indent=1, sort_keys=True))
    return model


class FitParameters(Protocol):
    """What `fit` needs to know."""

    @property
    def steps(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def seed(self) -> int: ...


class Learner(L.LightningModule):
    """A model with a loss; `steps` gives the length of the one cycle."""

    def __init__(self, model: torch.nn.Module, parameters: FitParameters) -> None:
        super().__init__()
        self.model = model
        self.parameters_of_fit = parameters

    def loss(self, *batch: torch.Tensor) -> torch.Tensor:
        """The mean loss of a batch."""
        raise NotImplementedError

    def training_step(self, batch: list[torch.Tensor]) -> torch.Tensor:
        return self.loss(*batch)

    def configure_optimizers(self) -> Any:
        chosen = self.parameters_of_fit
        optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=chosen.learning_rate, weight_decay=chosen.weight_decay
        )
        cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=chosen.learning_rate, total_steps=chosen.steps + 1
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}


def fit(
    learner: Learner,
    arrays: tuple[np.ndarray, ...],
    parameters: FitParameters,
    device: str,
    progress: Progress | None,
) -> list[float]:
    """Train `learner` on the samples along the first axis of `arrays`, turned and mirrored at random.

    Returns:
        The loss of each step.
    """
    reporter = _Reporter(progress)
    place = torch.device(resolve_device(device))
    with warnings.catch_warnings(), _quiet("lightning.pytorch.utilities.rank_zero"), freed_is_kept():
        # one process feeds the model from memory: workers would only copy
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*isinstance.*LeafSpec.*")
        # a training that Slurm did not start is none of its tasks
        warnings.filterwarnings("ignore", message=".*srun.*")
        trainer = L.Trainer(
            accelerator="gpu" if place.type == "cuda" else place.type,
            devices=1 if place.index is None else [place.index],
            max_steps=parameters.steps,
            max_epochs=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            deterministic="warn",
            callbacks=[reporter],
        )
        trainer.fit(learner, DataLoader(_Samples(arrays, parameters), batch_size=None))
    learner.model.cpu().eval()
    return reporter.losses


@contextmanager
def _quiet(logger: str) -> Iterator[None]:
    """Lightning advertises on every start; its warnings stay."""
    chosen = logging.getLogger(logger)
    level = chosen.level
    chosen.setLevel(logging.WARNING)
    try:
        yield
    finally:
        chosen.setLevel(level)


class _Samples(IterableDataset[list[torch.Tensor]]):
    """Batches without end, in an order that the seed decides; each batch turned and mirrored as one."""

    def __init__(self, arrays: tuple[np.ndarray, ...], parameters: FitParameters) -> None:
        self.arrays, self.parameters = arrays, parameters

    def __iter__(self) -> Iterator[list[torch.Tensor]]:
        rng = np.random.default_rng(self.parameters.seed)
        count = len(self.arrays[0])
        size = min(self.parameters.batch_size, count)
        while True:
            order = rng.permutation(count)
            for start in range(0, count - size + 1, size):
                chosen = np.sort(order[start : start + size])
                turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
                yield [_turned(array[chosen], turns, mirrored) for array in self.arrays]


def _turned(values: np.ndarray, turns: int, mirrored: bool) -> torch.Tensor:
    turned = np.rot90(values, turns, axes=(-2, -1))
    return torch.from_numpy(np.ascontiguousarray(turned[..., ::-1] if mirrored else turned)).float()


class _Reporter(Callback):
    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress
        self.losses: list[float] = []

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.losses.append(float(outputs["loss"]))
        if self.progress is not None:
            self.progress(len(self.losses), int(trainer.max_steps))


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch."""
    L.seed_everything(seed, workers=True, verbose=False)
