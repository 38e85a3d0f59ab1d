"""Which scenes a person means: `tile=T08* season=2023 state=failed,missing sensor=S2A`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from dagster import DagsterInstance

from darts_assets.partitions import season_of, tile_of
from darts_assets.states import SceneState, State, scene_states
from darts_core.errors import DartsError

FIELDS = ("tile", "season", "sensor", "state")
TO_DO = (State.FAILED, State.MISSING, State.STALE)
"""What is selected where no state is asked for: all that is not up to date and not being made."""


class SelectionError(DartsError):
    """A selection that says nothing, or selects nothing."""


@dataclass(frozen=True, slots=True)
class Where:
    """A selection of scenes; what is empty selects all. Tiles and sensors may hold ``*``."""

    tile: tuple[str, ...] = ()
    season: tuple[str, ...] = ()
    sensor: tuple[str, ...] = ()
    state: tuple[State, ...] = TO_DO

    @classmethod
    def parse(cls, words: str) -> Where:
        """Read ``field=value[,value] …``.

        Raises:
            SelectionError: an unknown field, a field twice, no value, or an unknown state.
        """
        asked: dict[str, tuple[str, ...]] = {}
        for word in words.split():
            field, equals, values = word.partition("=")
            split = tuple(value for value in values.split(",") if value)
            if field not in FIELDS or not equals or not split or field in asked:
                raise SelectionError(
                    f"--where does not understand {word!r}: expected each of {', '.join(FIELDS)} at most once, as "
                    "field=value[,value], with spaces between; such as 'tile=T08* season=2023 state=failed'"
                )
            asked[field] = split
        states = tuple(_state(value) for value in asked.pop("state", ())) or TO_DO
        return cls(**asked, state=states)

    def of_scene(self, key: str) -> bool:
        """Whether a scene is meant, whatever its state."""
        sensor = key.rsplit("_", 1)[-1]
        return (
            _matches(tile_of(key), self.tile)
            and _matches(sensor, self.sensor)
            and (not self.season or season_of(key) in self.season)
        )


def select(instance: DagsterInstance, where: Where) -> dict[str, SceneState]:
    """The scenes that are meant, tile after tile, each with its state.

    Raises:
        SelectionError: there is none; with the tiles, seasons, sensors and states that there are.
    """
    # one value of either makes a smaller query
    tile = where.tile[0] if len(where.tile) == 1 and "*" not in where.tile[0] else None
    season = where.season[0] if len(where.season) == 1 else None
    states = scene_states(instance, tile=tile, season=season)
    meant = {key: state for key, state in states.items() if where.of_scene(key)}
    if not meant:
        raise SelectionError(f"No registered scene is meant: {_there(instance, states)}")
    chosen = {key: state for key, state in meant.items() if state.state in where.state}
    if not chosen:
        counts = ", ".join(f"{len(keys)} {state}" for state, keys in _by_state(meant).items())
        raise SelectionError(
            f"None of the {len(meant)} scenes is {' or '.join(where.state)}: there are {counts}. Name another state, "
            "such as state=made to look at each again"
        )
    return chosen


def _state(value: str) -> State:
    allowed = [state for state in State if state is not State.RUNNING]
    if value not in allowed:
        raise SelectionError(f"--where has no state {value!r}: expected {', '.join(allowed)}, commas between")
    return State(value)


def _matches(value: str, patterns: tuple[str, ...]) -> bool:
    return not patterns or any(fnmatchcase(value, pattern) for pattern in patterns)


def _by_state(states: Mapping[str, SceneState]) -> dict[State, list[str]]:
    return {state: keys for state in State if (keys := [key for key, one in states.items() if one.state is state])}


def _there(instance: DagsterInstance, states: Mapping[str, SceneState]) -> str:
    keys = list(states) or list(scene_states(instance))
    if not keys:
        return "there is none. Scenes are registered by the sensor 'new_scenes' and by 'darts-assets run PATH'"
    kinds = {
        "tiles": sorted({tile_of(key) for key in keys}),
        "seasons": sorted({season_of(key) for key in keys}),
        "sensors": sorted({key.rsplit("_", 1)[-1] for key in keys}),
    }
    shown = (f"{name} {', '.join(all_[:8])}{', …' if len(all_) > 8 else ''}" for name, all_ in kinds.items())
    return f"there are {'; '.join(shown)}"
