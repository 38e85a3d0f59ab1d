"""Where scenes are searched, as it is configured."""

from pathlib import Path

import pytest
from support.deliveries import write_delivery

from darts_core.catalogue import Query
from resources.catalogue import SceneCatalogue
from resources.settings import Settings, SettingsError


def test_a_folder_is_a_catalogue(tmp_path: Path) -> None:
    write_delivery(tmp_path, "image")
    (found,) = SceneCatalogue(url=str(tmp_path)).open().search(Query()).found
    assert found.scene.tile == "image"


def test_an_address_is_a_stac_api() -> None:
    from darts_core.catalogue.stac import StacCatalogue

    catalogue = SceneCatalogue(url="https://host/v1", collections=["sentinel-2-l2a"]).open()
    assert catalogue == StacCatalogue("https://host/v1", ("sentinel-2-l2a",))


def test_settings_say_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"DARTS_{name.upper()}", raising=False)
    monkeypatch.setenv("DARTS_HOME", str(tmp_path))
    assert (Settings.load().catalogue, Settings.load().collections) == (None, ["sentinel-2-l2a"])
    (tmp_path / "settings.toml").write_text('dem = ["a.tif", "b.tif"]\ntrends = {2019 = "old.tif", 2024 = "new.tif"}\n')
    monkeypatch.setenv("DARTS_COLLECTIONS", "sentinel-2-l2a, landsat-c2-l2")
    settings = Settings.load()
    assert settings.collections == ["sentinel-2-l2a", "landsat-c2-l2"]
    assert settings.dem == ["a.tif", "b.tif"]
    assert settings.trends == {"2019": "old.tif", "2024": "new.tif"}
    (tmp_path / "settings.toml").write_text('trends = {newest = "new.tif"}\n')
    with pytest.raises(SettingsError, match="expected years as keys, such as 2019 and 2024, received newest"):
        Settings.load()
