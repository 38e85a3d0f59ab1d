"""What can be wrong with a release."""

from darts_core.errors import DartsError


class ReleaseError(DartsError):
    """Polygons that cannot be released."""
