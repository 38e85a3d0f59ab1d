"""The products of one scene as files for others: GIS, a web map, a STAC catalogue."""

from darts_core.imports import on_first_use

__getattr__ = on_first_use(
    __name__,
    {
        "STANDARD": "products",
        "ExportError": "products",
        "Format": "products",
        "SceneProducts": "products",
        "export": "writing",
        "stac_item": "item",
    },
)
