"""Segmentation: checkpoints of every generation, calibration, and the stateful `Segmenter`."""

from darts_core.imports import on_first_use

__getattr__ = on_first_use(
    __name__,
    {
        "Segmenter": "segmenter",
        "fit_temperature": "calibration",
        "load_checkpoint": "checkpoint",
        "save_checkpoint": "checkpoint",
    },
)
