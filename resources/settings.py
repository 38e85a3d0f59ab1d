"""Where things lie and what is used: `settings.toml` in the home folder, overruled by the environment."""

from __future__ import annotations

import json
import os
import tomllib
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from darts_core.errors import DartsError
from darts_core.web import without_secrets
from resources.launchers.configuration import KubernetesConfig, Launcher, RayConfig, SlurmConfig

HOME = "DARTS_HOME"
FILE = "settings.toml"


class ModelRefresh(StrEnum):
    """When scenes are run through a model that is new."""

    AT_ONCE = "at-once"
    """All scenes as one backfill, as fast as the pool of accelerators lets them."""
    NIGHTLY = "nightly"
    """So many a night as the nightly backfill takes up."""


class SettingsError(DartsError):
    """The settings file or the environment holds something that is not a setting."""


class Settings(BaseModel):
    """Each field can stand in `settings.toml` under its name, or in the environment as ``DARTS_<NAME>``."""

    # what is refused may be a secret
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    home: Path = Field(description="Folder that lasts: settings, Dagster's own storage, and what has no other place")
    products: str = Field("", description="Where products are stored: folder or s3://…; default <home>/products")
    scenes: str = Field("", description="Where scenes arrive: folder or s3://…; default <home>/scenes")
    checkpoints: str = Field("", description="Folder of segmentation checkpoints; default <home>/checkpoints")
    dem: str | list[str] | None = Field(
        None,
        description="Elevation: GeoTIFF, VRT or Zarr, local, http(s) or s3; several, or a pattern with *, are tiles of "
        "one; {resolution} becomes 2, 10 or 32 by the scene; stac+https://host/collections/<id> takes the Items that "
        "touch the scene. Without it no terrain features",
    )
    trends: str | dict[str, str] | None = Field(
        None,
        description="Tasselled-cap trends, likewise; {epoch} becomes 2019, 2020, 2022 or 2024 by the year of the "
        "scene, or a table has a source for each. Without it no trend features",
    )
    auxiliary_cache: str | None = Field(
        None, description="Folder that keeps what was read of remote elevation and trends; without it nothing is kept"
    )
    excluded: list[str] = Field(
        [],
        description="Ground where no slump can be (water, glaciers): GeoTIFF, VRT or files of polygons; commas between "
        "in the environment",
    )
    catalogue: str | None = Field(
        None, description="Where scenes are searched: the root of a STAC API, or a folder or s3://…; default scenes"
    )
    collections: list[str] = Field(
        ["sentinel-2-l2a"],
        description="Collections of the STAC API that are searched; commas between in the environment",
    )
    watch: str = Field(
        "",
        description="Where the sensor new_scenes looks: a folder or s3://…, or the root of a STAC API; default scenes",
    )
    tiles: list[str] = Field([], description="MGRS tiles that new_scenes searches for in the STAC API; commas likewise")
    area: str | None = Field(None, description="Area that it searches: west,south,east,north or a vector file")
    dates: str | None = Field(None, description="Period that it searches, such as 2023-06-15/2023-09-15")
    max_cloud: float | None = Field(
        default=None, ge=0, le=100, description="Percent of cloud that a scene it takes may have"
    )
    nightly_cron: str = Field("0 2 * * *", description="When nightly_backfill runs, UTC; default 2 o'clock")
    nightly_scenes: int = Field(default=200, ge=1, description="Most scenes that nightly_backfill takes up")
    nightly_season: str | None = Field(None, description="Only scenes of this year are taken up at night")
    release_cron: str = Field("0 6 15 10 *", description="When season_release runs, UTC; default 15 October")
    model_refresh: ModelRefresh = Field(
        default=ModelRefresh.AT_ONCE, description="When scenes are run through a new model: at-once or nightly"
    )
    ui_url: str = Field("http://127.0.0.1:3000", description="Where people open the UI; for links in messages")
    keep_days: int = Field(default=30, ge=1, description="Days for which weekly_clean_up keeps a superseded version")
    clean_up_applies: bool = Field(False, description="Whether weekly_clean_up removes what it lists")
    upscaler: str = Field("bicubic", description="Super-resolution model: built in, or the name of a trained one")
    device: str = Field("auto", description="cpu, cuda, mps, or auto")
    launcher: Launcher = Field(
        default=Launcher.EMBEDDED, description="Where models predict: embedded, local, slurm, ray or kubernetes"
    )
    ranks: int = Field(default=1, ge=1, description="Processes that share a job; needs another launcher than embedded")
    slurm: SlurmConfig = Field(default=SlurmConfig(), description="A table; as JSON in the environment")
    ray: RayConfig = Field(default=RayConfig(), description="Likewise")
    kubernetes: KubernetesConfig = Field(default=KubernetesConfig(), description="Likewise")
    s3_endpoint: str | None = Field(None, description="Endpoint of an S3-compatible service; None for AWS")

    @field_validator("collections", "excluded", "tiles", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",")] if isinstance(value, str) else value

    @field_validator("slurm", "ray", "kubernetes", mode="before")
    @classmethod
    def _parse(cls, value: object) -> object:
        try:
            return json.loads(value) if isinstance(value, str) else value
        except ValueError as error:
            raise ValueError(f"expected JSON in the environment, received {value!r}: {error}") from error

    @field_validator("trends")
    @classmethod
    def _years(cls, value: object) -> object:
        if isinstance(value, dict) and not (value and all(key.isdigit() and len(key) == 4 for key in value)):
            raise ValueError(f"expected years as keys, such as 2019 and 2024, received {', '.join(value) or 'none'}")
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _without_secrets(cls, value: object) -> object:
        # addresses are shown in the UI, in metadata and in errors
        if without_secrets(str(value)) != str(value):
            raise ValueError(
                "the address holds a user, password or token, which would be shown. Credentials of object stores come "
                "from AWS_… variables or AWS_PROFILE, those of web servers from ~/.netrc"
            )
        return value

    @classmethod
    def load(cls) -> Settings:
        """The settings of this process.

        Raises:
            SettingsError: naming every field that is unknown or has a wrong value, and the file.
        """
        home = Path(os.environ.get(HOME, ".darts")).absolute()
        file = home / FILE
        try:
            written = tomllib.loads(file.read_text()) if file.exists() else {}
            overruled = {
                name: os.environ[f"DARTS_{name.upper()}"]
                for name in cls.model_fields
                if name != "home" and os.environ.get(f"DARTS_{name.upper()}")
            }
            return cls(**{**_in_home(home), **written, **overruled, "home": home})
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(f"{file} is not TOML: {error}") from error
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
            raise SettingsError(
                f"{file} or a DARTS_… variable: {faults}. Known are {', '.join(cls.model_fields)}"
            ) from error

    @property
    def dagster_home(self) -> Path:
        """Where Dagster keeps runs, events and partitions."""
        return self.home / "dagster"


def _in_home(home: Path) -> dict[str, str]:
    return {name: str(home / name) for name in ("products", "scenes", "checkpoints")}
