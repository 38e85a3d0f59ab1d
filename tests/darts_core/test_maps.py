"""Footprints on a map of the north."""

import base64
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pyproj import Transformer

from darts_core.maps import CRS, SOUTHERNMOST, arctic, footprint, whereabouts

UTM = (500_000.0, 7_500_000.0, 560_000.0, 7_560_000.0)


@given(st.floats(51, 84), st.floats(-180, 170), st.floats(0.1, 5))
def test_a_footprint_lies_where_its_bounds_do(south: float, west: float, size: float) -> None:
    area = footprint((west, south, west + size, south + size), "EPSG:4326")
    assert area is not None
    longitude, latitude = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform(*area.T)
    assert latitude.min() == pytest.approx(south, abs=1e-6)
    assert latitude.max() == pytest.approx(south + size, abs=1e-6)
    turned = (longitude - west + 180) % 360 - 180
    assert turned.min() == pytest.approx(0, abs=1e-6)
    assert turned.max() == pytest.approx(size, abs=1e-6)


def test_what_lies_too_far_south_is_not_on_the_map() -> None:
    assert footprint((0, SOUTHERNMOST - 1, 1, SOUTHERNMOST + 1), "EPSG:4326") is None
    assert whereabouts(((0, 40, 1, 41), "EPSG:4326")) is None


def test_an_area_is_drawn_where_it_lies() -> None:
    area = footprint(UTM, "EPSG:32608")
    assert area is not None
    side = 480
    red = np.array(arctic({(255, 0, 0): [area]}, side=side, least=1.0), int)
    rows, cols = np.nonzero((red == (255, 0, 0)).all(-1))
    # metres a pixel, from the pole to the southern rim
    pixel = (
        2 * np.hypot(*Transformer.from_crs("EPSG:4326", CRS, always_xy=True).transform(0, SOUTHERNMOST)) / (side - 2)
    )
    assert np.allclose(((cols + 0.5 - side / 2) * pixel).mean(), area[:, 0].mean(), atol=pixel)
    assert np.allclose(((side / 2 - rows - 0.5) * pixel).mean(), area[:, 1].mean(), atol=pixel)


def test_a_small_area_can_still_be_seen_and_the_picture_is_small() -> None:
    uri = whereabouts(((500_000, 7_500_000, 500_010, 7_500_010), "EPSG:32608"), ((0, 40, 1, 41), "EPSG:4326"))
    assert uri is not None
    assert len(uri) < 6_000
    picture = np.array(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB"), int)
    assert 20 < ((picture[..., 0] > 150) & (picture[..., 1:] < 110).all(-1)).sum() < 120
