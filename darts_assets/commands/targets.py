"""Which files a command would write, settled and checked before any work."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from darts_core.errors import DartsError

_ENDINGS = re.compile(r"(\.zip|\.tar|\.SAFE|\.tiff?|\.jp2|\.vrt)+$", re.IGNORECASE)


class UsageError(DartsError):
    """Options that contradict each other, or that would overwrite what they should not."""


@dataclass(frozen=True, slots=True)
class Looks:
    """What is made to look at, beside each raster."""

    preview: bool
    excerpt: int | None
    """Pixels of the scene a side."""
    at: tuple[float, float] | None
    """x and y of the middle in the scene's CRS; None is the scene's centre."""

    @classmethod
    def of(cls, preview: bool, excerpt: int | None, at: str | None) -> Looks:
        """From what was typed.

        Raises:
            UsageError: a middle of nothing, or one that is not two numbers.
        """
        if at is None:
            return cls(preview, excerpt, None)
        if not preview and excerpt is None:
            raise UsageError("--excerpt-at says where --excerpt or --preview looks; give one of them too")
        try:
            x, y = map(float, at.split(","))
        except ValueError:
            raise UsageError(f"Expected --excerpt-at as two numbers x,y; received {at}") from None
        return cls(preview, excerpt, (x, y))


@dataclass(frozen=True, slots=True)
class Target:
    """One scene and where its raster goes."""

    url: str
    path: Path

    @property
    def pictures(self) -> tuple[Path, Path]:
        """Before and after."""
        return self._beside("preview_lr.png"), self._beside("preview_sr.png")

    @property
    def excerpts(self) -> tuple[Path, Path]:
        """Before and after."""
        return self._beside("excerpt_lr.tif"), self._beside("excerpt_sr.tif")

    def _beside(self, ending: str) -> Path:
        return self.path.with_name(f"{self.path.stem}_{ending}")

    def files(self, looks: Looks) -> tuple[Path, ...]:
        """All that is written in the end."""
        pictures = self.pictures if looks.preview else ()
        return self.path, *pictures, *(() if looks.excerpt is None else self.excerpts)


def targets_of(paths: Sequence[str], out: Path | None) -> list[Target]:
    """The scenes of all paths, each with a raster of its own.

    Raises:
        UsageError: one file for many scenes, or two scenes of one name.
    """
    from darts_core.superresolution.finding import find_inputs

    urls = list(dict.fromkeys(url for path in paths for url in find_inputs(path)))
    if out is not None and out.suffix.lower() in (".tif", ".tiff"):
        if len(urls) > 1:
            raise UsageError(f"{out} is one file, and there are {len(urls)} scenes; name a folder as --out")
        return [Target(urls[0], out)]
    targets = [Target(url, (out or Path()) / f"{_name(url)}_sr.tif") for url in urls]
    counts = Counter(target.path for target in targets)
    twice = [target.url for target in targets if counts[target.path] > 1]
    if twice:
        raise UsageError(f"These would be written to files of one name: {', '.join(twice)}. Run them one by one")
    return targets


def _name(url: str) -> str:
    return _ENDINGS.sub("", Path(url).name)


def refuse_existing(targets: Sequence[Target], looks: Looks, overwrite: bool) -> None:
    """Check that nothing is lost.

    Raises:
        UsageError: an output that is there and may not be overwritten, or that is an input.
    """
    inputs = {Path(target.url).resolve() for target in targets}
    files = [file for target in targets for file in target.files(looks)]
    own = [str(file) for file in files if file.resolve() in inputs]
    if own:
        raise UsageError(f"{', '.join(own)} is read and would be overwritten; choose another --out")
    there = [str(file) for file in files if file.exists()]
    if there and not overwrite:
        raise UsageError(f"{', '.join(there)} exists; choose another --out, or replace it with --overwrite")
