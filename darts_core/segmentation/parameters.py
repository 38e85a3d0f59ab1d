"""What one can choose about segmentation and about the ensemble."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, model_validator

from darts_core.windows import Ramp


class Input(StrEnum):
    """Which pixels a model is trained on."""

    NATIVE = "native"
    SUPER_RESOLVED = "super_resolved"


class Augment(StrEnum):
    """What is averaged over the eight turned and mirrored views of a patch."""

    NONE = "none"
    """One view, as it is."""
    LOGITS = "logits"
    PROBABILITIES = "probabilities"


class Compat(StrEnum):
    """Whose way of putting patches together is followed."""

    NONE = "none"
    """Ours: weights that sum to 1, and a scene's edge without a ramp."""
    DARTS = "darts"
    """Today's DARTS to the bit: a mirrored margin, linear ramps on every side, sums divided by the sum of weights."""


class SegmentParameters(BaseModel):
    """Parameters of `Segmenter`; sizes in pixels of what the model sees."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    patch_size: int | None = Field(
        default=None, ge=32, le=8192, description="Pixels a side of one patch; by default what the checkpoint says"
    )
    overlap: int | None = Field(
        default=None, ge=0, description="Pixels that neighbouring patches share; by default a quarter of the patch"
    )
    ramp: Ramp = Field(
        default=Ramp.SIGMOID,
        description="How the weight of a patch rises towards its inside; crop: not at all, half the overlap is cut off",
    )
    batch_size: int = Field(default=2, ge=1, le=1024, description="Patches that go through the model at once")
    augment: Augment = Field(
        default=Augment.NONE, description="What to average over eight turned and mirrored views; takes 8 times as long"
    )
    temperature: float | None = Field(
        default=None, gt=0, description="What logits are divided by; by default what the checkpoint says"
    )
    compat: Compat = Field(default=Compat.NONE, description="darts: put patches together as today's DARTS does")
    reflection: int = Field(
        default=0, ge=0, description="Mirrored pixels around the scene; only with compat = darts, and beside its own 1"
    )

    @model_validator(mode="after")
    def _reflects_with_darts(self) -> SegmentParameters:
        if self.reflection and self.compat is not Compat.DARTS:
            raise ValueError(
                f"reflection is {self.reflection}; it belongs to compat = darts. Ours needs none, for a patch has no "
                "ramp at the scene's edge"
            )
        return self


class Weighting(StrEnum):
    """How much each model counts in an ensemble."""

    EQUAL = "equal"
    SCORE = "score"
    """By the score in its checkpoint."""


class EnsembleParameters(BaseModel):
    """Parameters of `ensemble`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weighting: Weighting = Field(default=Weighting.EQUAL, description="equal, or by the score in each checkpoint")
    weights: dict[str, float] = Field(
        default={}, description="Weight of single models by name, 0 or more, in place of what `weighting` gives"
    )

    @model_validator(mode="after")
    def _is_not_negative(self) -> EnsembleParameters:
        bad = {name: weight for name, weight in self.weights.items() if not 0 <= weight < float("inf")}
        if bad:
            raise ValueError(f"A weight is finite and 0 or more; received {bad}")
        return self
