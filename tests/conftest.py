"""What several test modules share: the real imagery and the golden arrays, read where they lie."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def _shared_folder(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"needs shared/{name} beside the checkout, which is not here")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real Earth-observation input; its README lists what is there."""
    return _shared_folder("data")


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of golden arrays of today's DARTS and opensr-utils."""
    return _shared_folder("golden")
