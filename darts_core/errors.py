"""The one base class of every error that bad input can cause."""


class DartsError(Exception):
    """Bad input or configuration. The message says what was expected, what came, where, and what to do."""
