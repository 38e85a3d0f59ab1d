"""Super-resolution: upscalers, and the verbs that run them over whole scenes."""

from darts_core.imports import on_first_use

__getattr__ = on_first_use(
    __name__,
    {
        "Upscaler": "upscaler",
        "load_upscaler": "upscalers",
        "upscaler_of": "upscalers",
        "is_needed": "patches",
        "stitch": "scenes",
        "super_resolve_patches": "patches",
        "super_resolve": "scenes",
    },
)
