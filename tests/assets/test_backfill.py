"""The command for many: what it selects, what it says, and what it does."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from support.deliveries import BANDS, key_of, write_delivery
from support.models import write_checkpoint
from typer.testing import CliRunner

from darts_assets.cli import app
from darts_assets.partitions import SCENES, add
from darts_assets.runs import add_scenes, instance_of
from darts_assets.selecting import SelectionError, Where
from darts_assets.states import State, scene_states
from darts_core.scenes import find_scenes
from darts_core.store import Store
from resources.settings import Settings

Run = Callable[..., Result]
TILES = [f"T0{number}WMA" for number in range(6)]
BLIND = TILES[2]
"""The tile whose scene lacks a band."""
TYPED = "T99ZZZ_20210821T210019_made-up"
"""A scene that nothing was delivered for."""


@pytest.fixture
def home(a_fresh_start: None, tmp_path: Path) -> Path:
    """Six registered scenes, one of them bad, and a seventh that does not exist; a model; nothing made."""
    home = tmp_path / "home"
    (home / "checkpoints").mkdir(parents=True)
    write_checkpoint(home / "checkpoints" / "bare-and-bright.pt")
    for tile in TILES:
        write_delivery(home / "scenes", tile, bands=BANDS[:3] if tile == BLIND else BANDS)
    settings = Settings.load()
    with instance_of(settings) as instance:
        add_scenes(instance, Store(settings.products), list(find_scenes(settings.scenes).scenes))
        add(instance, SCENES, [TYPED])
    return home


@pytest.fixture
def backfill(home: Path) -> Run:
    """`darts-assets backfill` in this process."""

    def run(where: str, *options: str, answer: str | None = None) -> Result:
        words = ["backfill", "--home", str(home), "--where", where, *options]
        result = CliRunner(env={"COLUMNS": "200"}).invoke(app, words, input=answer)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


def runs() -> list[dict[str, str]]:
    """Tags of all runs, the latest first."""
    with instance_of(Settings.load()) as instance:
        return [dict(run.tags) for run in instance.get_runs()]


class TestWhere:
    """The grammar."""

    def test_all_that_is_not_up_to_date_where_nothing_is_said(self) -> None:
        assert Where.parse("") == Where()
        assert Where().state == (State.FAILED, State.MISSING, State.STALE)

    def test_fields_narrow_and_commas_widen(self) -> None:
        where = Where.parse("tile=T08*,T09WMB season=2021 sensor=S2? state=made")
        meant = {
            "T08WMA_20210801T000000_S2A": True,
            "T08_x_20210801T000000_S2B": True,
            "T09WMB_20210801T000000_S2A": True,
            "T09WMA_20210801T000000_S2A": False,
            "T08WMA_20220801T000000_S2A": False,
            "T08WMA_20210801T000000_PS24d1": False,
        }
        assert {key: where.of_scene(key) for key in meant} == meant
        assert where.state == (State.MADE,)

    @pytest.mark.parametrize(
        "words", ["colour=red", "tile", "tile=", "tile=,", "=x", "tile=a tile=b", "state = failed", "Tile=T08WMA"]
    )
    def test_what_it_does_not_understand_it_repeats_and_says_what_it_does(self, words: str) -> None:
        with pytest.raises(SelectionError, match=r"tile, season, sensor, state at most once.*such as"):
            Where.parse(words)

    @pytest.mark.parametrize("state", ["nonsense", "running", "FAILED"])
    def test_an_unknown_state(self, state: str) -> None:
        with pytest.raises(SelectionError, match=f"no state '{state}': expected failed, missing, stale, made"):
            Where.parse(f"state={state}")


class TestWrongInput:
    """Errors that teach, and do nothing."""

    @pytest.mark.parametrize(
        ("where", "options", "words"),
        [
            ("colour=red", [], ["'colour=red'", "tile, season, sensor, state"]),
            ("tile=T77*", [], ["No registered scene is meant", "T00WMA", "seasons 2021", "made-up"]),
            ("state=made", [], ["None of the 7 scenes is made", "7 missing", "Name another state"]),
            ("", ["--assets", "raw_scene,slumps"], ["slumps", "raw_scene", "slump_polygons"]),
        ],
    )
    def test_it_says_what_there_is(self, backfill: Run, where: str, options: list[str], words: list[str]) -> None:
        result = backfill(where, "--yes", *options)
        assert result.exit_code == 2
        for word in words:
            assert word in result.stderr
        assert runs() == []


class TestShowing:
    """What it would do."""

    def test_a_dry_run_shows_tiles_and_states_and_does_nothing(self, backfill: Run) -> None:
        result = backfill("tile=T00*,T01* season=2021", "--dry-run")
        assert result.exit_code == 0
        assert [line.split() for line in result.stdout.splitlines() if "WMA" in line] == [
            ["│", tile, "│", "1", "│", "1", "│"] for tile in TILES[:2]
        ]
        assert "2 scenes, all their assets, in 1 runs" in result.stdout
        assert runs() == []

    def test_no_is_no(self, backfill: Run) -> None:
        assert backfill("", answer="n\n").exit_code == 0
        assert runs() == []

    def test_yes_queues_batches_that_say_what_they_make(self, backfill: Run) -> None:
        result = backfill("", "--batch", "3", "--limit", "5", "--assets", "raw_scene", answer="y\n")
        assert result.exit_code == 0, result.output
        assert "Queued 2 runs" in result.stdout
        assert "No daemon is running" in result.stderr
        (last, first) = runs()
        assert [key.split("_")[0] for key in first["darts/scenes"].split()] == TILES[:3]
        assert [key.split("_")[0] for key in last["darts/scenes"].split()] == TILES[3:5]
        assert first["darts/backfill"] == last["darts/backfill"]
        with instance_of(Settings.load()) as instance:
            statuses = {run.status.value for run in instance.get_runs()}
            assert statuses == {"QUEUED"}


class TestDoing:
    """Six scenes through the whole graph, one bad and one missing."""

    def test_the_good_are_made_and_the_next_time_only_the_failed_are_left(self, backfill: Run) -> None:
        result = backfill("", "--yes", "--here", "--batch", "4")
        assert result.exit_code == 1
        assert f"{key_of(BLIND)} raw_scene:" in result.stderr
        assert "nir missing" in result.stderr
        assert f"{TYPED} raw_scene: No scene is registered" in result.stderr
        good = [key_of(tile) for tile in TILES if tile != BLIND]
        settings = Settings.load()
        store = Store(settings.products)
        assert store.partitions("slump_polygons") == good
        with instance_of(settings) as instance:
            states = {key: state.state for key, state in scene_states(instance).items()}
            assert states == {**dict.fromkeys(good, State.MADE), key_of(BLIND): State.FAILED, TYPED: State.FAILED}
            made = len(instance.get_runs())
        write_delivery(Path(settings.scenes), BLIND)
        again = backfill("state=failed tile=T0*", "--yes", "--here")
        assert again.exit_code == 0, again.output
        assert store.partitions("slump_polygons") == sorted([*good, key_of(BLIND)])
        assert len(runs()) == made + 1
        assert backfill("tile=T0*", "--yes").exit_code == 2, "nothing is left to do"
