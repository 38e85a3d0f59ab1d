"""What one can choose about postprocessing."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class PostprocessParameters(BaseModel):
    """What a person can choose about postprocessing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float = Field(default=0.5, ge=0, le=1, description="A pixel above this probability is slump")
    quality_level: int = Field(
        default=1,
        ge=0,
        le=2,
        description="Least quality looked at: 0 everything, 1 all valid data, 2 high quality only",
    )
    mask_erosion_px: int = Field(
        default=10, ge=0, le=1000, description="Pixels that the looked-at area keeps from lesser quality"
    )
    edge_erosion_px: int | None = Field(
        default=None, ge=0, le=10000, description="Pixels kept from the scene's edge; null: as mask_erosion_px; 0: none"
    )
    min_object_px: int = Field(default=32, ge=0, le=1_000_000, description="Objects of fewer pixels are removed")
    remove_touching: bool = Field(
        default=True, description="Remove objects that reach beyond the looked-at area, so are known in part only"
    )
    excluded_share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Remove objects of which more than this share lies on excluded ground, such as water and glaciers",
    )
    compat: str | None = Field(
        default=None,
        pattern="^darts$",
        description="'darts': what DARTS makes, which masks before it looks for objects that touch",
    )
