"""The metadata of a Landsat product (MTL): groups of fields, written as JSON, XML or the text of the USGS (ODL)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from defusedxml import DefusedXmlException, ElementTree

from darts_core.scenes.folders import Folder
from darts_core.scenes.scene import SceneError

ROOT = "LANDSAT_METADATA_FILE"
"""The group around all others, from Collection 2 on."""

_LINE = re.compile(r"\s*(?P<field>\w+)\s*=\s*(?P<value>.*?)\s*")

Groups = dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Metadata:
    """What an MTL says: every field as text, by its group and name."""

    where: str
    """How errors name the file."""
    groups: Mapping[str, Mapping[str, str]]

    def get(self, group: str, field: str) -> str | None:
        """A field, or None where it is absent or empty."""
        return self.groups.get(group, {}).get(field) or None

    def text(self, group: str, field: str) -> str:
        """A field.

        Raises:
            SceneError: it is absent.
        """
        text = self.get(group, field)
        if text is None:
            raise SceneError(f"{self.where} has no {field} in {group}. Is it the MTL of a Collection 2 product?")
        return text

    def number(self, group: str, field: str) -> float:
        """A field that is a number.

        Raises:
            SceneError: it is absent, or no finite number.
        """
        text = self.text(group, field)
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise SceneError(f"{self.where}: expected a number as {field}, received {text!r}")
        return number


def read_mtl(folder: Folder, document: str) -> Metadata:
    """Parse ``…_MTL.json``, ``…_MTL.xml`` or ``…_MTL.txt``.

    Raises:
        SceneError: not what the name says, or not the metadata of a Landsat product of Collection 2.
    """
    where = folder.named(document)
    parse = {"json": _from_json, "xml": _from_xml, "txt": _from_text}[document.rpartition(".")[2].lower()]
    groups = parse(folder, document, where)
    if not groups:
        raise SceneError(f"{where} holds no {ROOT} with groups of fields, so it is no MTL of Collection 2")
    return Metadata(where, groups)


def _from_json(folder: Folder, document: str, where: str) -> Groups:
    root = folder.read_json(document)
    groups = root.get(ROOT) if isinstance(root, dict) else None
    if not isinstance(groups, dict):
        return {}
    return {
        name: {field: str(value) for field, value in fields.items()}
        for name, fields in groups.items()
        if isinstance(fields, dict)
    }


def _from_xml(folder: Folder, document: str, where: str) -> Groups:
    try:
        root = ElementTree.fromstring(folder.read(document))
    except (ElementTree.ParseError, DefusedXmlException, ValueError) as error:
        raise SceneError(f"{where} is not valid XML: {error}") from error
    if root.tag != ROOT:
        return {}
    return {group.tag: {field.tag: (field.text or "").strip() for field in group} for group in root}


def _from_text(folder: Folder, document: str, where: str) -> Groups:
    groups: Groups = {}
    inside: list[str] = []
    for line in folder.read(document).decode("utf-8", "replace").splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        field, value = match["field"], match["value"].strip('"')
        if field == "GROUP":
            inside.append(value)
        elif field == "END_GROUP":
            if not inside or inside.pop() != value:
                raise SceneError(f"{where}: END_GROUP = {value} ends no open group; the file is damaged")
        elif len(inside) == 2 and inside[0] == ROOT:
            groups.setdefault(inside[1], {})[field] = value
    if inside:
        raise SceneError(f"{where} is cut off: the group {inside[-1]} has no end")
    return groups
