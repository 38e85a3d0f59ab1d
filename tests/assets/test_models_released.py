"""A model that is released makes exactly what was made without it out of date, and it is made anew once."""

from collections.abc import Iterator
from contextvars import copy_context
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from support.demo import PER_SCENE

from darts_assets.automation.models import watch_models
from darts_assets.definitions import defs
from darts_assets.partitions import SCENES, add
from darts_assets.states import State, scene_states
from io_managers.base import StoreResource
from resources.models import ModelStore

KEYS = [f"T08WMA_2023080{day}T000000_S2A" for day in range(1, 6)]
AFTER = PER_SCENE[PER_SCENE.index("segmentation_probabilities") :]


class World:
    """Scenes that are made with the models in a folder, and an instance that knows of both."""

    def __init__(self, instance: dg.DagsterInstance, folder: Path) -> None:
        self.instance, self.folder = instance, folder
        folder.mkdir()
        self.cursor = None

    def release(self, name: str, content: str) -> str:
        """Put a model into the folder, and let the sensor look; what it says."""
        (self.folder / f"{name}.pt").write_text(content)
        return self.look()

    def look(self) -> str:
        context = dg.build_sensor_context(instance=self.instance)
        models, store = ModelStore(checkpoints=str(self.folder)), StoreResource(root=str(self.folder / "products"))
        result = copy_context().run(lambda: watch_models(context, models=models, store=store))
        if isinstance(result, dg.SkipReason):
            return str(result.skip_message)
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)
        return str(result.skip_reason.skip_message)

    def make(self, *keys: str) -> None:
        code = {spec.key.path[-1]: spec.code_version for spec in defs.resolve_all_asset_specs()}
        for key in keys:
            for asset in PER_SCENE:
                tags = {DATA_VERSION_TAG: f"{code[asset]}-{asset}"}
                self.instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=key, tags=tags))

    def requested(self) -> dict[str, set[str]]:
        result = dg.evaluate_automation_conditions(defs=defs, instance=self.instance, cursor=self.cursor)
        self.cursor = result.cursor
        asked = {asset: result.get_requested_partitions(dg.AssetKey(asset)) for asset in PER_SCENE}
        return {asset: keys for asset, keys in asked.items() if keys}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with dg.instance_for_test() as instance:
        add(instance, SCENES, KEYS)
        yield World(instance, tmp_path / "checkpoints")


def test_without_models_nothing_is_recorded_and_the_reason_said(world: World) -> None:
    assert "no segmentation model" in world.look()
    assert world.requested() == {asset: set(KEYS) for asset in PER_SCENE}


def test_the_same_models_are_no_news(world: World) -> None:
    assert "now a" in world.release("a", "weights of a")
    assert "those that they were" in world.look()
    assert "now a, b" in world.release("b", "weights of b")


def test_a_second_model_makes_stale_what_was_made_without_it_and_asks_for_it_once(world: World) -> None:
    world.release("a", "weights of a")
    world.make(*KEYS[:4])
    assert set(world.requested()) == set(PER_SCENE)  # the fifth scene, which is new
    assert [state.state for state in scene_states(world.instance).values()] == [State.MADE] * 4 + [State.MISSING]
    world.release("b", "weights of b")
    states = scene_states(world.instance)
    assert [state.state for state in states.values()] == [State.STALE] * 4 + [State.MISSING]
    assert {(states[key].asset, states[key].why) for key in KEYS[:4]} == {
        ("segmentation_probabilities", "was made before released_models changed")
    }
    assert world.requested() == {asset: set(KEYS[:4]) for asset in AFTER}
    assert world.requested() == {}
    world.make(*KEYS[:2])
    assert [state.state for state in scene_states(world.instance).values()] == [
        *[State.MADE] * 2,
        *[State.STALE] * 2,
        State.MISSING,
    ]


def test_what_was_made_before_models_were_recorded_is_not_stale(world: World) -> None:
    world.make(*KEYS)
    world.release("a", "weights of a")
    assert {state.state for state in scene_states(world.instance).values()} == {State.MADE}
