"""One synthetic world for all tests of this folder."""

import pytest

from darts_core.synthetic.landscape import Landscape, make_landscape
from darts_core.synthetic.world import DEFAULT_SEED, World, make_world


@pytest.fixture(scope="session")
def landscape() -> Landscape:
    return make_landscape(DEFAULT_SEED)


@pytest.fixture(scope="session")
def small_landscape() -> Landscape:
    """1.5 km wide: enough for tests of the writers."""
    return make_landscape(5, (484_000.0, 7_536_000.0, 485_500.0, 7_537_500.0))


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))
