"""The products of one scene as files for others: GIS, a web map, a STAC catalogue."""

from darts_core.exports.export import export
from darts_core.exports.item import stac_item
from darts_core.exports.products import STANDARD, ExportError, Format, SceneProducts

__all__ = ["STANDARD", "ExportError", "Format", "SceneProducts", "export", "stac_item"]
