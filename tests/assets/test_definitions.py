"""What the code location consists of."""

import subprocess
import sys
import tomllib
from pathlib import Path

import dagster as dg
import pytest
import yaml

from darts_assets.definitions import defs
from darts_assets.partitions import MODELS, SCENES, SEASONS, UPSCALERS
from darts_core.vectors.schema import RELEASE_SCHEMA, SLUMP_SCHEMA, Column

ROOT = Path(__file__).parents[2]

PARTITIONED_BY = {
    "scene_overview": None,
    "raw_scene": SCENES,
    "preprocessed": SCENES,
    "sr_patches": SCENES,
    "sr_geotiff": SCENES,
    "segmentation_probabilities": SCENES,
    "ensemble": SCENES,
    "segmentation_mask": SCENES,
    "slump_polygons": SCENES,
    "slump_dataset": SEASONS,
    "training_patches": MODELS,
    "segmentation_model": MODELS,
    "evaluation": MODELS,
    "super_resolution_model": UPSCALERS,
}


@pytest.fixture(scope="module")
def specs() -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}


def test_the_assets_are_these_partitioned_like_this(specs: dict[str, dg.AssetSpec]) -> None:
    assert {name: spec.partitions_def for name, spec in specs.items()} == {**PARTITIONED_BY, "released_models": None}


@pytest.mark.parametrize("name", PARTITIONED_BY)
def test_every_asset_says_what_it_is(specs: dict[str, dg.AssetSpec], name: str) -> None:
    spec = specs[name]
    assert spec.description
    assert spec.group_name not in (None, "default")
    assert 1 <= len(spec.kinds) <= 3
    assert spec.owners
    assert spec.code_version, "unset, it is random per run and staleness means nothing"
    assert spec.tags["darts/of"] in ("scene", "season", "model", "all")


@pytest.mark.parametrize("name", PARTITIONED_BY)
def test_an_asset_is_found_in_the_file_of_its_name(name: str) -> None:
    assert f"def {name}(" in (ROOT / "darts_assets" / "assets" / f"{name}.py").read_text()


@pytest.mark.parametrize(("name", "schema"), [("slump_polygons", SLUMP_SCHEMA), ("slump_dataset", RELEASE_SCHEMA)])
def test_the_ui_knows_the_columns_of_tables(
    specs: dict[str, dg.AssetSpec], name: str, schema: tuple[Column, ...]
) -> None:
    shown = specs[name].metadata["dagster/column_schema"]
    assert [column.name for column in shown.columns] == [*(column.name for column in schema), "geometry"]
    for column, told in zip(schema, shown.columns, strict=False):
        assert told.type == column.dtype
        assert told.description is not None
        assert told.description.startswith(column.meaning)
        assert column.unit is None or f"({column.unit})" in told.description


def test_what_starts_work_is_off_until_a_person_turns_it_on() -> None:
    switches = [*(defs.sensors or []), *(defs.schedules or [])]
    assert {switch.name for switch in switches} >= {"new_scenes", "process_new_scenes", "nightly_backfill"}
    assert [switch.name for switch in switches if switch.default_status.value != "STOPPED"] == ["mark_not_begun"]


def test_definitions_load_without_the_heavy_libraries() -> None:
    heavy = "torch rasterio geopandas lightning segmentation_models_pytorch skimage scipy"
    code = (
        "import sys; import darts_assets.definitions; "
        f"print([name for name in {heavy.split()!r} if name in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert loaded.stdout.strip() == "[]"


def test_workspace_and_a_bare_start_load_the_same_module() -> None:
    (entry,) = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    bare = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["dagster"]
    assert entry["python_module"]["module_name"] == bare["module_name"]
    assert entry["python_module"]["location_name"] == bare["code_location_name"]


@pytest.mark.parametrize("how", [[], ["-w", "workspace.yaml"]], ids=["bare", "workspace"])
def test_dagster_itself_validates_the_definitions(how: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dagster", "definitions", "validate", *how]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "DAGSTER_HOME": str(tmp_path), "DARTS_HOME": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "darts_assets" in done.stderr + done.stdout


def test_telemetry_is_off_in_what_we_ship() -> None:
    assert yaml.safe_load((ROOT / "dagster.yaml").read_text())["telemetry"] == {"enabled": False}


def test_no_module_lies_at_the_root_where_it_could_shadow_a_library() -> None:
    assert list(ROOT.glob("*.py")) == []
