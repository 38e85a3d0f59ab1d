"""What people look at first."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from darts_core.pictures import BUDGET, SIDE, contact_sheet

GREY = (232, 236, 240)


@pytest.mark.parametrize("bands", [("blue", "green", "red", "nir"), ("ndvi",)])
def test_a_contact_sheet_shows_each_patch_with_its_truth(bands: tuple[str, ...]) -> None:
    # without colour, so that only the outline has one
    images = np.broadcast_to(np.linspace(0.1, 0.3, 64, dtype=np.float16), (5, len(bands), 64, 64))
    masks = np.zeros((5, 64, 64), np.uint8)
    masks[1, 16:48, 16:48] = 1
    masks[2] = 255
    sheet = contact_sheet(images, masks, bands)
    assert len(sheet) < BUDGET + 100
    data = base64.b64decode(sheet.partition(",")[2])
    pixels = np.array(Image.open(io.BytesIO(data)).convert("RGB"), int)
    side = SIDE // 4
    assert pixels.shape == (2 * side, 4 * side, 3)
    tiles = [pixels[n // 4 * side :, n % 4 * side :][: side - 2, : side - 2] for n in range(8)]
    outlined = [((tile[..., 0] - tile[..., 2]) > 60).sum() for tile in tiles]
    # the rim of a square of half the side, one pixel wide, as WebP leaves it
    assert 80 < outlined[1] < 400
    assert max(outlined[:1] + outlined[2:]) == 0
    for empty in (2, 5, 6, 7):
        assert np.abs(tiles[empty] - GREY).max() < 25
