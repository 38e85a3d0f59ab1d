"""What one can choose about super-resolution."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from darts_core.windows import Ramp


class SuperResolveParameters(BaseModel):
    """Parameters of `super_resolve`; sizes in pixels of the scene as it came."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target_resolution: float | None = Field(
        default=3.125, gt=0, description="Metres a pixel; a scene this fine or finer passes unchanged. None: none does"
    )
    tolerance: float = Field(
        default=0.02, ge=0, le=0.5, description="Share by which a pixel may exceed the target and still pass unchanged"
    )
    window: int = Field(default=128, ge=8, le=4096, description="Pixels a side of one window")
    overlap: int | None = Field(
        default=None, ge=0, description="Pixels that neighbouring windows share; by default twice the border and 4 more"
    )
    border: int | None = Field(
        default=None, ge=0, description="Outermost pixels of a window that are not used; by default the model's reach"
    )
    ramp: Ramp = Field(default=Ramp.SIGMOID, description="How the weight of a window rises towards its inside")
    batch_size: int | None = Field(
        default=None, ge=1, le=1024, description="Windows that go through a GPU at once; by default what the model says"
    )
    seed: int = Field(default=0, ge=0, description="Of a stochastic model; each window has random numbers of its own")
