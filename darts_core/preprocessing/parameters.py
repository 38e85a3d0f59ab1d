"""Parameters of preprocessing."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class PreprocessParameters(BaseModel):
    """What a person can choose about preprocessing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: list[str] = Field(
        default=[],
        description="Variables to make beside blue, green, red and nir: indices (DARTS's in lower case, any other as "
        "spyndex names it), terrain features, trends, further bands; DARTS's own set where empty",
    )
    relative_elevation_radius_m: float = Field(
        default=100.0, gt=0, le=2000, description="Radius in metres of the disk whose mean elevation is subtracted"
    )
    relative_elevation_inner_radius_m: float = Field(
        default=0.0, ge=0, lt=2000, description="What lies within this radius in metres is left out of that mean"
    )
    ruggedness_reach_m: float = Field(
        default=100.0,
        gt=0,
        le=2000,
        description="Metres from a cell to the edge of the square window of terrain_ruggedness_index, "
        "vector_ruggedness_measure and dissection_index",
    )

    @model_validator(mode="after")
    def _a_ring_has_a_width(self) -> Self:
        inner, outer = self.relative_elevation_inner_radius_m, self.relative_elevation_radius_m
        if inner >= outer:
            raise ValueError(
                f"expected relative_elevation_inner_radius_m below relative_elevation_radius_m, received {inner} and "
                f"{outer}: there would be nothing to compare with"
            )
        return self
