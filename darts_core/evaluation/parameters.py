"""What one can choose about evaluation."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class EvaluateParameters(BaseModel):
    """Parameters of `evaluate`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float = Field(default=0.5, ge=0, le=1, description="Probability from which a pixel is a slump")
    thresholds: list[float] = Field(
        default=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], description="Probabilities of the sweep"
    )
    iou_thresholds: list[float] = Field(
        default=[0.3, 0.5], min_length=1, description="Overlap from which two objects are the same"
    )
    min_object_pixels: int = Field(default=1, ge=1, description="Smaller objects are not looked at")
    bins: int = Field(default=10, ge=1, le=100, description="Bins of the reliability diagram")
