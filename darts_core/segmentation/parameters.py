"""What one can choose about segmentation."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from darts_core.windows import Ramp


class Input(StrEnum):
    """Which pixels a model is trained on."""

    NATIVE = "native"
    SUPER_RESOLVED = "super_resolved"


class SegmentParameters(BaseModel):
    """Parameters of `Segmenter`; sizes in pixels of what the model sees."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    patch_size: int | None = Field(
        default=None, ge=32, le=8192, description="Pixels a side of one patch; by default what the checkpoint says"
    )
    overlap: int | None = Field(
        default=None, ge=0, description="Pixels that neighbouring patches share; by default a quarter of the patch"
    )
    ramp: Ramp = Field(default=Ramp.SIGMOID, description="How the weight of a patch rises towards its inside")
    batch_size: int = Field(default=2, ge=1, le=1024, description="Patches that go through the model at once")
