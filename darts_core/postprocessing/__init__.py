"""Postprocessing: from probabilities to objects, where slumps can be told at all."""

from darts_core.imports import on_first_use

__getattr__ = on_first_use(
    __name__,
    {
        "PostprocessError": "masking",
        "PostprocessParameters": "parameters",
        "binarize": "masking",
        "looked_at": "masking",
        "percent": "masking",
        "postprocess": "masking",
    },
)
