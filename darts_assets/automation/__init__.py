"""When assets are made."""
