"""Where things lie and what is used: `settings.toml` in the home folder, overruled by the environment."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from darts_core.errors import DartsError
from resources.accelerator import Launcher

HOME = "DARTS_HOME"
FILE = "settings.toml"


class SettingsError(DartsError):
    """The settings file or the environment holds something that is not a setting."""


class Settings(BaseModel):
    """Each field can stand in `settings.toml` under its name, or in the environment as ``DARTS_<NAME>``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path = Field(description="Folder that lasts: settings, Dagster's own storage, and what has no other place")
    products: str = Field("", description="Where products are stored: folder or s3://…; default <home>/products")
    scenes: str = Field("", description="Where scenes arrive: folder or s3://…; default <home>/scenes")
    checkpoints: str = Field("", description="Folder of segmentation checkpoints; default <home>/checkpoints")
    dem: str | None = Field(None, description="Elevation raster; without it no terrain features")
    trends: str | None = Field(None, description="Tasselled-cap trend raster; without it no trend features")
    upscaler: str = Field("bicubic", description="Super-resolution model: built in, or the name of a trained one")
    device: str = Field("auto", description="cpu, cuda, mps, or auto")
    launcher: Launcher = Field(
        default=Launcher.EMBEDDED, description="Where super-resolution predicts: embedded or local"
    )
    ranks: int = Field(default=1, ge=1, description="Processes that share a scene's shards; needs the launcher local")
    s3_endpoint: str | None = Field(None, description="Endpoint of an S3-compatible service; None for AWS")

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
