"""Names of bands that no metadata gives."""

import pytest

from darts_core.scenes.bare import common_name


@pytest.mark.parametrize(
    ("description", "name"),
    [
        ("B02", "blue"),
        ("b2", "blue"),
        ("T08WMA_20210821T210019_B04_10m", "red"),
        ("B8", "nir"),
        ("B8A", "nir08"),
        ("B08A", "nir08"),
        ("B8A, narrow near infrared", "nir08"),
        ("B10", "cirrus"),
        ("Near-Infrared", "nir"),
        ("Red Edge 1", "rededge071"),
        ("swir_2", "swir22"),
        ("Narrow NIR", "nir08"),
    ],
)
def test_codes_and_names_are_understood(description: str, name: str) -> None:
    assert common_name(description) == name


@pytest.mark.parametrize(
    "description",
    [None, "", "Band 2", "band_3", "2", "Vegetation red edge", "red, green", "B02 B03", "B13", "AB02", "B020"],
)
def test_nothing_is_guessed(description: str | None) -> None:
    assert common_name(description) is None
