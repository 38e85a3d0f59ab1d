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


def test_what_a_model_found_is_outlined_too_and_the_truth_upon_it() -> None:
    images, square = np.full((2, 1, 64, 64), 0.2, np.float32), np.zeros((2, 64, 64), np.uint8)
    square[:, 16:48, 16:48] = 1
    found = square.astype(bool)
    found[1] = np.roll(found[1], 8, axis=1)
    sheet = contact_sheet(images, square, ("ndvi",), columns=2, found=found)
    data = base64.b64decode(sheet.partition(",")[2])
    pixels = np.array(Image.open(io.BytesIO(data)).convert("RGB"), int)
    half = pixels.shape[1] // 2
    yellow, blue = (pixels[..., 0] - pixels[..., 2] > 60), (pixels[..., 2] - pixels[..., 0] > 60)
    assert [part.any() for part in (yellow[:, :half], yellow[:, half:])] == [True, True]
    assert not blue[:, :half].any(), "found where it is, the truth alone is seen"
    assert blue[:, half:].any()
