"""Parameters of preprocessing."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class PreprocessParameters(BaseModel):
    """What a person can choose about preprocessing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    relative_elevation_radius_m: float = Field(
        default=100.0, gt=0, le=2000, description="Radius in metres of the disk whose mean elevation is subtracted"
    )

    @property
    def dem_buffer_m(self) -> float:
        """Metres of elevation needed around the scene, so that its border is computed like its middle."""
        return self.relative_elevation_radius_m
