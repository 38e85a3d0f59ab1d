"""What the schedules may do by themselves, as the settings say."""

from __future__ import annotations

import dagster as dg
from pydantic import Field

from resources.settings import Settings


class Upkeep(dg.ConfigurableResource):
    """Bounds of the nightly backfill and the weekly clean-up."""

    nightly_scenes: int = Field(200, description="Most scenes that a night takes up")
    nightly_season: str | None = Field(None, description="Only scenes of this year")
    keep_days: int = Field(30, description="Days for which a superseded version is kept")
    clean_up_applies: bool = Field(False, description="Whether the weekly clean-up removes what it lists")

    @classmethod
    def of(cls, settings: Settings) -> Upkeep:
        """As the settings say."""
        return cls(
            nightly_scenes=settings.nightly_scenes,
            nightly_season=settings.nightly_season,
            keep_days=settings.keep_days,
            clean_up_applies=settings.clean_up_applies,
        )
