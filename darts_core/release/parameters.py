"""What a person can choose about a release."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ReleaseParameters(BaseModel):
    """How detections are matched, and what only people can say of a release."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    match_share: float = Field(
        default=0.1, gt=0, le=1, description="Shared part of the smaller area from which two detections are one slump"
    )
    title: str = Field(default="Retrogressive thaw slumps of the Arctic", description="Title, without the season")
    license: str = Field(default="other", description="SPDX identifier of the licence, or other")
    providers: dict[str, str] = Field(
        default={}, description="Organisations that made it, each with its homepage, which may be empty"
    )
    ui_address: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s\"'<>]+$",
        description="Address of the Dagster UI, such as https://darts.example.org, which the map links to; null: none",
    )
