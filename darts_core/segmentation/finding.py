"""Where a checkpoint lies: one file, or the folder of a training run of DARTS's predecessor. Knows no torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

from darts_core.errors import DartsError
from darts_core.manifests import file_digest

SUFFIXES = (".pt", ".ckpt")
RUN_CONFIG = "config.yml"
RUN_WEIGHTS = "checkpoints"


class CheckpointNotFound(DartsError):
    """A folder that is no training run, or one without weights."""


def is_checkpoint(path: Path) -> bool:
    """Whether a path looks like a checkpoint: a file by its suffix, a training run by its config."""
    if path.is_dir():
        return (path / RUN_CONFIG).is_file() and any(_numbered(path))
    return path.suffix in SUFFIXES


def model_name(path: Path) -> str:
    """What a model goes by that does not say it itself."""
    return path.name if path.is_dir() else path.stem


def checkpoint_digest(path: Path) -> str:
    """SHA-256 of a checkpoint: of the file; for a training run, of its config and the weights that are taken.

    Raises:
        CheckpointNotFound: a folder without weights.
    """
    if not path.is_dir():
        return file_digest(path)
    both = (file_digest(path / RUN_CONFIG), file_digest(run_weights(path)))
    return hashlib.sha256(" ".join(both).encode()).hexdigest()


def run_weights(folder: Path) -> Path:
    """The weights of a training run after its last epoch: `checkpoints/NN.pt` with the highest number.

    Raises:
        CheckpointNotFound: there are none.
    """
    found = _numbered(folder)
    if not found:
        raise CheckpointNotFound(
            f"{folder} holds no {RUN_WEIGHTS}/NN.pt; expected the folder of a training run, with {RUN_CONFIG} and "
            "numbered weights, or name a checkpoint file"
        )
    return max(found, key=lambda path: int(path.stem))


def _numbered(folder: Path) -> list[Path]:
    return [path for path in (folder / RUN_WEIGHTS).glob("*.pt") if path.stem.isdigit()]
