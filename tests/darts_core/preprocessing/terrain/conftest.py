"""The golden elevations and what DARTS makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def terrain(golden: Path) -> dict[str, np.ndarray]:
    """Elevations of 96 x 96 pixels of 3 m, and features of them."""
    return dict(np.load(golden / "darts" / "terrain.npz"))
