"""Delivered files in one archive: a zip, or the tar in which the USGS delivers Landsat."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, cast

from darts_core.scenes.folders import UNREADABLE, CopiedFolder, Entry
from darts_core.scenes.scene import SceneError, check_relative


class ArchiveFolder(CopiedFolder):
    """The files in an archive, which may lie in an object store; a scene in it has the archive as its URL."""

    def __init__(self, url: str, file: IO[bytes]) -> None:
        """`file` is closed with the folder, and where this fails.

        Raises:
            SceneError: not a whole archive of its kind, or a member that is no file inside of it.
        """
        try:
            entries = self._open(url, file)
        # ValueError: a file too short for an archive, sought before its start
        except (*UNREADABLE, ValueError) as error:
            file.close()
            kind = url.rpartition(".")[2].lower()
            raise SceneError(f"{url} is not a whole {kind}: {error}. Download it again") from error
        except SceneError:
            file.close()
            raise
        super().__init__(url, entries)
        self._file = file

    @abstractmethod
    def _open(self, url: str, file: IO[bytes]) -> Mapping[str, Entry]:
        """Open the archive; its files."""

    @abstractmethod
    def _member(self, name: str) -> IO[bytes]:
        """A file of the archive, to read."""

    def place(self, at: str, names: Iterable[str]) -> tuple[str, tuple[str, ...]]:
        return self.url, tuple(names)

    def named(self, name: str) -> str:
        return f"{self.url}!/{name}"

    def _read(self, name: str) -> bytes:
        with self._member(name) as source:
            return source.read()

    def _copy(self, names: list[str], into: Path) -> None:
        for name in names:
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            with self._member(name) as source, (into / name).open("wb") as target:
                shutil.copyfileobj(source, target, 2**20)

    def close(self) -> None:
        super().close()
        self._file.close()


class ZipFolder(ArchiveFolder):
    """The files in a zip."""

    def _open(self, url: str, file: IO[bytes]) -> Mapping[str, Entry]:
        self._zip = zipfile.ZipFile(file)
        members = [member for member in self._zip.infolist() if not member.is_dir()]
        return {check_relative(member.filename, url): Entry(member.file_size) for member in members}

    def _member(self, name: str) -> IO[bytes]:
        return self._zip.open(name)


class TarFolder(ArchiveFolder):
    """The files in a tar that is not compressed, as its members are read where they lie."""

    def _open(self, url: str, file: IO[bytes]) -> Mapping[str, Entry]:
        self._tar = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115  (the folder closes the file)
        self._members = {}
        for member in self._tar:
            if not (member.isreg() or member.isdir()) or member.issparse():
                raise SceneError(f"{url}: {member.name!r} is no ordinary file but a link or a device; it is not read")
            if member.isreg():
                self._members[check_relative(member.name.removeprefix("./"), url)] = member
        return {name: Entry(member.size) for name, member in self._members.items()}

    def _member(self, name: str) -> IO[bytes]:
        # None is for what is no regular file
        return cast(IO[bytes], self._tar.extractfile(self._members[name]))
