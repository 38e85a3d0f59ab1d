"""What a scene is: one acquisition of one tile, where it lies and which reader takes it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from darts_core.errors import DartsError

READERS = ("sentinel2", "landsat", "planet", "geotiff")
"""Names of the readers, in the order in which they are asked."""
CATALOGUE_READER = "stac"
"""The reader of scenes that a catalogue names; their files lie elsewhere, and no folder is searched for them."""

_PART = re.compile(r"[A-Za-z0-9_.-]+")
_LONGEST_KEY = 100


class SceneError(DartsError):
    """A scene that cannot be found, described or read; the message names the file and what it lacks."""


class Unreachable(SceneError):
    """A place that does not answer now; what lies there is not known."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One acquisition of one tile, as delivered.

    Raises:
        SceneError: a part that cannot stand in a partition key, a naive time, an unknown reader, a file outside
            the scene's folder.
    """

    url: str
    """Folder, archive (zip, tar) or GeoTIFF: a local path or ``s3://…``; of a scene in a catalogue, its STAC Item, also
    http(s)."""
    reader: str
    """One of `READERS`, or `CATALOGUE_READER`."""
    product_id: str
    """The deliverer's name of the product."""
    tile: str
    """MGRS tile (``T08WMA``), WRS-2 path and row (``062012``), Planet grid cell or strip, or another name."""
    acquired: datetime
    """Aware, UTC."""
    sensor: str
    """Short name, such as ``S2A``, ``LC08`` or ``PS2427``."""
    files: tuple[str, ...]
    """What reading may need, relative to `base`; what delivered metadata names counts, on disk or not."""

    def __post_init__(self) -> None:
        if self.reader not in (*READERS, CATALOGUE_READER):
            raise SceneError(
                f"{self.url}: no reader {self.reader!r}; expected one of {', '.join((*READERS, CATALOGUE_READER))}"
            )
        if self.acquired.utcoffset() != timedelta(0):
            raise SceneError(f"{self.url}: expected an acquisition time in UTC, received {self.acquired!r}")
        for what, text in (("tile", self.tile), ("sensor", self.sensor)):
            # the last two '_' of a key are the ends of the tile and of the time
            if not _PART.fullmatch(text) or ".." in text or (what == "sensor" and "_" in text):
                raise SceneError(
                    f"{self.url}: the {what} {text!r} cannot stand in a partition key, which is made of letters, "
                    "digits, '-', single dots and, in the tile, '_'. Correct it in the scene's metadata"
                )
        if len(self.key) > _LONGEST_KEY:
            raise SceneError(
                f"{self.url}: the key {self.key!r} is longer than {_LONGEST_KEY} characters. "
                "Shorten the tile or platform in the scene's metadata"
            )
        for name in self.files:
            check_relative(name, self.url)

    @property
    def key(self) -> str:
        """The partition key, ``<tile>_<acquisition time>_<sensor>``."""
        fraction = ".%f" if self.acquired.microsecond else ""
        return f"{self.tile}_{self.acquired.strftime(f'%Y%m%dT%H%M%S{fraction}')}_{self.sensor}"

    @property
    def base(self) -> str:
        """What `files` are relative to: the folder or archive itself, or the folder that the GeoTIFF lies in."""
        return self.url.rpartition("/")[0] if is_tiff(self.url) else self.url

    def to_json(self) -> str:
        """The scene as text, for a register."""
        return json.dumps({**asdict(self), "acquired": self.acquired.isoformat()})

    @classmethod
    def from_json(cls, text: str) -> Scene:
        """The inverse of `to_json`.

        Raises:
            SceneError: text that is no scene.
        """
        try:
            fields = json.loads(text)
            acquired, files = datetime.fromisoformat(fields.pop("acquired")), tuple(fields.pop("files"))
            return cls(**fields, acquired=acquired, files=files)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise SceneError(f"Expected a scene written by Scene.to_json, received {text[:200]!r}") from error


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that looked like a scene and is none that can be read."""

    url: str
    """The candidate; one inside an archive is ``<archive>!/<name>``."""
    reasons: Mapping[str, str]
    """Reader to why it does not take the candidate."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What lies under a folder or prefix; no two scenes have the same key."""

    scenes: tuple[Scene, ...]
    refusals: tuple[Refusal, ...]


def is_tiff(name: str) -> bool:
    """Whether a name is that of a GeoTIFF."""
    return name.lower().endswith((".tif", ".tiff"))


def is_archive(name: str) -> bool:
    """Whether a name is that of an archive that holds scenes."""
    return name.lower().endswith((".zip", ".tar"))


def check_relative(name: str, where: str) -> str:
    """`name`, which must stay inside the folder that it is relative to.

    Raises:
        SceneError: an absolute path, a URL, a backslash or a way up.
    """
    if not name or name.startswith("/") or "\\" in name or ":" in name or ".." in name.split("/"):
        raise SceneError(f"{where}: {name!r} points outside the folder it was found in; it is not read")
    return name


def parse_utc(text: object, where: str) -> datetime:
    """An ISO 8601 time with a zone as aware UTC.

    Raises:
        SceneError: no such time.
    """
    try:
        time = datetime.fromisoformat(str(text).strip())
    except ValueError:
        raise SceneError(f"{where}: expected an ISO 8601 acquisition time, received {text!r}") from None
    if time.tzinfo is None:
        raise SceneError(f"{where}: the acquisition time {text!r} has no zone; write it in UTC, with a Z")
    return time.astimezone(UTC)
