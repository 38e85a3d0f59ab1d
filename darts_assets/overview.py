"""What `scene_overview` shows: a map, progress by season, and what failed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote

import numpy as np
from rasterio.transform import array_bounds

from darts_assets.figures import by_season
from darts_assets.partitions import tile_of
from darts_assets.states import SceneState, State
from darts_core import maps
from darts_core.catalogue.mgrs import is_tile, tile_grid
from darts_core.pictures import data_uri
from darts_core.store import MissingProduct, Store

FAILED_SHOWN = 25
"""Failed scenes that are listed with their reason."""
LOOKED_UP = 2_000
"""Tiles, at most, whose place is looked up in the store because their name does not tell it."""

COLOURS: dict[State, maps.Colour] = {
    State.MISSING: (150, 158, 170),
    State.STALE: (232, 172, 40),
    State.MADE: (44, 150, 90),
    State.RUNNING: (60, 120, 220),
    State.FAILED: (205, 45, 40),
}
"""In the order in which they are drawn: what a person should look at comes last."""


def draw_map(store: Store, states: Mapping[str, SceneState]) -> tuple[str, int]:
    """A map of all tiles, each in the colour of that of its scenes which is drawn last.

    Returns:
        A data URI, and the number of scenes whose place nobody knows, or that lie too far south.
    """
    drawn = list(COLOURS)
    tiles: dict[str, list[str]] = {}
    for key in states:
        tiles.setdefault(tile_of(key), []).append(key)
    areas: dict[maps.Colour, list[np.ndarray]] = {colour: [] for colour in COLOURS.values()}
    unplaced = 0
    for keys, area in zip(tiles.values(), _places(store, tiles), strict=True):
        if area is None:
            unplaced += len(keys)
        else:
            areas[COLOURS[max((states[key].state for key in keys), key=drawn.index)]].append(area)
    legend = {state.value: colour for state, colour in COLOURS.items()}
    return data_uri(maps.arctic(areas, legend)), unplaced


def season_table(states: Mapping[str, SceneState]) -> str:
    """A row a season, with links to its release."""
    shown = list(State)[::-1]
    head = ["season", "scenes", "done", *shown, "release"]
    rows = []
    for season, counted in by_season(states).items():
        total = sum(counted.values())
        release = f"[{season}](/assets/slump_dataset?view=partitions&partition={season})"
        numbers = (str(counted[state]) for state in shown)
        rows.append([season, str(total), f"{counted[State.MADE] / total:.0%}", *numbers, release])
    return _table(head, rows) if rows else "No scene is registered yet."


def failed_list(states: Mapping[str, SceneState], reasons: Iterable[tuple[str, str]]) -> str:
    """An entry a failed scene: where to look, and what its run said, which a table of this width would cut off."""
    entries = [
        f"- {_scene_link(key, states[key])} at {states[key].asset}{_run_link(states[key])}: {_plain(why)}"
        for key, why in reasons
    ]
    if not entries:
        return "Nothing failed."
    left = Counter(state.state for state in states.values())[State.FAILED] - len(entries)
    more = f"\n\nAnd {left} more; `darts-assets status` counts them." if left else ""
    return "\n".join(entries) + more


def totals(states: Mapping[str, SceneState]) -> dict[str, int]:
    """Scenes by state, every state named."""
    counted = Counter(state.state for state in states.values())
    return {"scenes": len(states), **{state.value: counted[state] for state in State}}


def _places(store: Store, tiles: Mapping[str, list[str]]) -> Iterator[np.ndarray | None]:
    looked_up = 0
    for tile, keys in tiles.items():
        if is_tile(tile):
            grid = tile_grid(tile)
            yield maps.footprint(array_bounds(grid.height, grid.width, grid.transform), grid.crs)
        elif looked_up < LOOKED_UP:
            looked_up += 1
            yield next((place for key in keys if (place := _stored_place(store, key)) is not None), None)
        else:
            yield None


def _stored_place(store: Store, key: str) -> np.ndarray | None:
    try:
        summary = store.current("raw_scene", key).manifest.summary
    except MissingProduct:
        return None
    bounds = [float(number) for number in summary["bounds (left, bottom, right, top)"].split(",")]
    return maps.footprint(bounds, summary["crs"])


def _scene_link(key: str, state: SceneState) -> str:
    return f"[{key}](/assets/{state.asset}?view=partitions&partition={quote(key)})"


def _run_link(state: SceneState) -> str:
    return f" in run [{state.run_id[:8]}](/runs/{state.run_id})" if state.run_id else ""


def _plain(text: str) -> str:
    """Markdown of one line that shows a text as it is."""
    return re.sub(r"[\\`*_<>\[\]|~]", r"\\\g<0>", text.replace("\n", " "))


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Markdown; what stands in a cell cannot end it."""
    lines = [list(head), *([cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
