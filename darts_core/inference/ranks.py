"""Prediction by Lightning over ranks: one process a device, each with shards of its own.

Ranks never wait for one another but when they start and when all of their shards are published. Each has one scene
open at a time.
"""

from __future__ import annotations

import logging
import os
import signal
import warnings
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

import torch
from lightning.fabric.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy

from darts_core.dataflow import StageStatus
from darts_core.errors import DartsError
from darts_core.inference.feed import Observe
from darts_core.windows import Progress, Shard

WAIT = timedelta(days=30)
"""How long a rank that is ready waits for the others before it takes them for lost."""


class RanksError(DartsError):
    """Ranks that were not started as the job asks for, or were lost."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Which rank this process is, and who started it."""

    rank: int
    ranks: int
    here: int
    """Ranks on this machine."""
    environment: ClusterEnvironment
    """How Lightning's ranks find each other."""

    @property
    def threads(self) -> int:
        """Threads of this rank, so that those of this machine share its cores."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, cores // self.here)


def placement(ranks: int) -> Placement:
    """Where this process stands: started by torchrun, by Slurm, or by Lightning, which starts the other ranks itself.

    Args:
        ranks: how many there are to be.

    Raises:
        RanksError: there are more or fewer.
    """
    variables = os.environ
    if TorchElasticEnvironment.detect():
        found, here = int(variables["WORLD_SIZE"]), int(variables["LOCAL_WORLD_SIZE"])
        place = Placement(int(variables["RANK"]), found, here, TorchElasticEnvironment())
    elif SLURMEnvironment.detect():
        found = int(variables["SLURM_NTASKS"])
        here = found // int(variables.get("SLURM_NNODES", 1))
        place = Placement(int(variables["SLURM_PROCID"]), found, here, SLURMEnvironment(auto_requeue=False))
    else:
        found = int(variables.get("WORLD_SIZE", ranks))
        place = Placement(int(variables.get("LOCAL_RANK", 0)), found, found, LightningEnvironment())
    if found != ranks:
        raise RanksError(f"The job is for {ranks} ranks; {found} were started. Start as many as it says")
    return place


def share(shards: Sequence[Shard], occupied: Sequence[int], rank: int, ranks: int) -> tuple[Shard, ...]:
    """The shards that one rank owns: contiguous, and about as many windows as every other rank's.

    Args:
        shards: all of a scene, ascending.
        occupied: numbers of the windows to predict, ascending.
    """
    middles = [bisect_left(occupied, shard.first) + bisect_left(occupied, shard.stop) for shard in shards]
    whole = max(2 * len(occupied), 1)
    return tuple(
        shard for shard, middle in zip(shards, middles, strict=True) if min(middle * ranks // whole, ranks - 1) == rank
    )


class Predict(Protocol):
    """Predicts windows of a scene and publishes them."""

    def __call__(self, *, progress: Progress, observe: Observe) -> None:
        """As `predict` does, telling the windows done, those done before included, and in all."""


@dataclass(frozen=True, slots=True)
class Portion:
    """What one rank predicts of one scene."""

    windows: int
    """Of the rank's shards, those included that were published before; of a raster, its tiles."""
    before: int
    """How many of them were published before."""
    predict: Predict


NOTHING = Portion(0, 0, lambda *, progress, observe: None)
"""Of a scene of which a rank has no window."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A scene that is yet to be opened."""

    scene: str
    """Its partition."""
    title: str
    """What errors call it."""
    open: Callable[[], AbstractContextManager[Portion]]
    """Plans it, to be predicted while it is open."""


class Watch(Protocol):
    """Told how a rank fares."""

    def begun(self, scene: str) -> None:
        """The partition that the rank is at from now on."""

    def planned(self, device: str, total: int) -> None:
        """Where the rank predicts, and how many windows are its own: about as many, until its last scene is open."""

    def progress(self, done: int, before: int) -> None:
        """Windows of this rank that are predicted, and how many of them were before it started."""

    def observe(self, stages: Sequence[StageStatus]) -> None:
        """How the reading ahead of a scene fared."""

    def finished(self) -> None:
        """The rank has done its own and waits for the others."""


Prepare = Callable[[torch.device, int], Sequence[Turn]]
"""Loads the model onto a device, and says which scenes there are for the rank with this number."""


class RankPrediction(LightningModule):
    """Predicts what one rank has to; what Lightning calls a batch is one scene."""

    def __init__(self, prepare: Prepare, threads: int, watch: Watch) -> None:
        super().__init__()
        self._prepare, self._threads, self._watch = prepare, threads, watch
        self._opened = self._windows = self._done = self._before = 0

    def predict_dataloader(self) -> _Turns:
        torch.set_num_threads(self._threads)
        turns = self._prepare(self.device, self.global_rank)
        self._turns = len(turns)
        return _Turns(turns)

    def on_predict_start(self) -> None:
        # Lightning's own handler waits for the other ranks, which may never answer
        signal.signal(signal.SIGTERM, _leave)
        if not self._turns:
            self._tell()

    def transfer_batch_to_device(self, batch: Turn, device: torch.device, dataloader_idx: int) -> Turn:
        return batch

    def predict_step(self, turn: Turn) -> None:
        elsewhere = self._done
        of_all = ""

        def progress(done: int, total: int) -> None:
            nonlocal of_all
            of_all = f", after {done} of the {total} windows of this rank"
            self._done = elsewhere + done
            self._watch.progress(self._done, self._before)

        self._watch.begun(turn.scene)
        try:
            with turn.open() as portion:
                self._opened += 1
                self._windows += portion.windows
                self._done += portion.before
                self._before += portion.before
                self._tell()
                portion.predict(progress=progress, observe=self._watch.observe)
        except Exception as error:
            error.add_note(f"in {turn.title}{of_all}")
            raise

    def _tell(self) -> None:
        """How much there is to do, scenes that are not open yet being as large as the others, and what is done."""
        total = round(self._windows * self._turns / max(self._opened, 1))
        self._watch.planned(str(self.device), total)
        self._watch.progress(self._done, self._before)

    def on_predict_end(self) -> None:
        self._watch.finished()
        try:
            self.trainer.strategy.barrier()
        except RuntimeError as error:
            raise RanksError("This rank has done its own, but another one was lost meanwhile") from error


@dataclass(frozen=True, slots=True)
class _Turns:
    """Turns without a length, which the ranks would compare, and wait for each other to do so."""

    turns: Sequence[Turn]

    def __iter__(self) -> Iterator[Turn]:
        return iter(self.turns)


def _leave(number: int, _: Any) -> None:
    raise SystemExit(128 + number)


def predict_ranks(place: Placement, device: str, prepare: Prepare, watch: Watch) -> None:
    """Predict as one rank of several, to the end of all of them.

    Args:
        device: cpu, mps, or cuda, of which each rank takes one; cuda:1 for a single rank.
        prepare: called when the ranks know each other.
    """
    trainer = _trainer(place, device)
    trainer.predict(RankPrediction(prepare, place.threads, watch), return_predictions=False)
    for process in getattr(trainer.strategy.launcher, "procs", ()):
        process.wait()


def _trainer(place: Placement, device: str) -> Trainer:
    kind, _, index = device.partition(":")
    for chatty in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    apart = place.ranks > 1
    return Trainer(
        accelerator=kind,
        devices=place.here if apart or kind == "cpu" else [int(index or 0)],
        num_nodes=place.ranks // place.here,
        strategy=DDPStrategy(process_group_backend="nccl" if kind == "cuda" else "gloo", timeout=WAIT)
        if apart
        else "auto",
        plugins=[place.environment] if apart else None,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        inference_mode=True,
    )
