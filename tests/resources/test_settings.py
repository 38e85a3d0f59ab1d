"""Settings: the file, the environment over it, and defaults in the home folder."""

import traceback
from pathlib import Path

import pytest

from resources.accelerator import Accelerator
from resources.launchers.configuration import Launcher
from resources.settings import Settings, SettingsError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and nothing of ours in the environment."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"DARTS_{name.upper()}", raising=False)
    monkeypatch.setenv("DARTS_HOME", str(tmp_path))
    return tmp_path


def test_without_a_file_everything_lies_in_the_home_folder(home: Path) -> None:
    settings = Settings.load()
    assert (settings.products, settings.scenes) == (str(home / "products"), str(home / "scenes"))
    assert settings.checkpoints == str(home / "checkpoints")
    assert settings.dagster_home == home / "dagster"
    assert (settings.dem, settings.trends, settings.s3_endpoint) == (None, None, None)
    assert (settings.upscaler, settings.device) == ("bicubic", "auto")


def test_home_is_beside_the_process_where_nothing_is_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DARTS_HOME")
    monkeypatch.chdir(home)
    assert Settings.load().home == home / ".darts"


def test_the_environment_overrules_the_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "settings.toml").write_text('products = "s3://bucket/products"\ndevice = "cpu"\ndem = "dem.vrt"\n')
    monkeypatch.setenv("DARTS_DEVICE", "cuda")
    monkeypatch.setenv("DARTS_DEM", "")
    monkeypatch.setenv("DARTS_LAUNCHER", "local")
    monkeypatch.setenv("DARTS_RANKS", "4")
    settings = Settings.load()
    assert (settings.launcher, settings.ranks) == ("local", 4)
    assert (settings.products, settings.device) == ("s3://bucket/products", "cuda")
    assert settings.dem == "dem.vrt", "an empty variable says nothing"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('prodcuts = "x"', "prodcuts: Extra inputs are not permitted. Known are home, products"),
        ("device = 3", "device: Input should be a valid string"),
        ("device =", "is not TOML"),
        ('launcher = "rocket"', "launcher: Input should be 'embedded', 'local', 'slurm', 'ray' or 'kubernetes'"),
        ('[slurm]\npartion = "gpu"', "slurm.partion: Extra inputs are not permitted"),
        ('[slurm]\ntime_limit = "soon"', "slurm.time_limit: String should match pattern"),
        ("ranks = 0", "ranks: Input should be greater than or equal to 1"),
    ],
)
def test_what_is_wrong_with_the_file_is_named(home: Path, text: str, words: str) -> None:
    (home / "settings.toml").write_text(text)
    with pytest.raises(SettingsError, match=words) as raised:
        Settings.load()
    assert str(home / "settings.toml") in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("S3_ENDPOINT", "http://me:pa55word@minio:9000"),
        ("CATALOGUE", "https://me:pa55word@catalogue.org/v1"),
        ("DEM", "https://host/dem.tif?sv=1&sig=pa55word"),
        ("EXCLUDED", "lakes.gpkg,https://host/rivers.gpkg?access_token=pa55word"),
    ],
)
def test_a_secret_in_an_address_is_refused_and_not_shown(
    name: str, value: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"DARTS_{name}", value)
    with pytest.raises(SettingsError, match="holds a user, password or token") as raised:
        Settings.load()
    assert "pa55word" not in "".join(traceback.format_exception(raised.value)), "not in its cause either"


def test_each_launcher_has_a_table_and_the_environment_takes_it_as_json(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "settings.toml").write_text(
        'launcher = "slurm"\nranks = 4\n[slurm]\npartition = "gpu"\ngres = "gpu:4"\n'
        '[kubernetes]\nimage = "i"\nlimits = {"nvidia.com/gpu" = "4"}\n'
    )
    monkeypatch.setenv("DARTS_RAY", '{"address": "http://head:8265", "gpus_per_rank": 1}')
    accelerator = Accelerator.of(Settings.load())
    assert (accelerator.launcher, accelerator.ranks) == (Launcher.SLURM, 4)
    assert (accelerator.slurm.partition, accelerator.slurm.nodes) == ("gpu", 1)
    assert accelerator.ray.gpus_per_rank == 1
    assert accelerator.kubernetes.limits == {"nvidia.com/gpu": "4"}
    monkeypatch.setenv("DARTS_RAY", "http://head:8265")
    with pytest.raises(SettingsError, match=r"ray: .*expected JSON"):
        Settings.load()
