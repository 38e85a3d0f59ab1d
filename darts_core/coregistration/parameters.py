"""Parameters of co-registration."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class CoregistrationParameters(BaseModel):
    """What a person can choose about co-registration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    band: str = Field(default="red", description="Band of the scene that is compared, by its common name")
    reference_band: int | None = Field(
        default=None,
        ge=1,
        description="Band of the reference, from 1; None takes the one that is described as `band`, or the only one",
    )
    window_px: int = Field(default=256, ge=32, le=2048, description="Pixels a side of a window that is compared")
    windows: int = Field(default=25, ge=1, le=400, description="How many windows are compared at most")
    iterations: int = Field(default=5, ge=1, le=50, description="How often the shift of a window is refined at most")
    limit_px: float = Field(default=10.0, gt=0, le=100, description="Largest shift in pixels that is believed")
    reliability_percent: float = Field(
        default=30.0, ge=0, le=100, description="Least correlation with the reference, in percent, that counts"
    )
    resample: bool = Field(
        default=False,
        description="Resample onto the pixels of the reference; else only the scene's place is changed, and no value",
    )
    keep_unreliable: bool = Field(
        default=False, description="Leave a scene where it is if no shift can be believed; else that is an error"
    )
