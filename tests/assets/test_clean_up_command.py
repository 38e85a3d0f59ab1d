"""`darts-assets clean-up` lists what may go, and removes it only when asked."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from darts_assets.cli import app
from darts_core.retention import note_made_from
from darts_core.store import Store

KEY = "T08WMA_20230801T000000_S2A"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A version that another one replaced in 2020."""
    monkeypatch.setenv("DARTS_HOME", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = Store(str(tmp_path / "products"))
    for version in ("v1", "v2"):
        note_made_from(store, "raw_scene", KEY, version, {})
        with store.draft("raw_scene", KEY, version) as draft:
            (draft.folder / "zarr.json").write_text("{}")
            draft.commit()
    for path in (tmp_path / "products").rglob("*"):
        os.utime(path, (1.6e9, 1.6e9))
    return store


@pytest.mark.parametrize("applied", [False, True])
def test_it_removes_when_asked(store: Store, applied: bool) -> None:
    result = CliRunner().invoke(app, ["clean-up", *["--apply"] * applied])
    assert result.exit_code == 0, result.output
    assert f"raw_scene/{KEY}/v1" in result.output
    assert ("1 removed" if applied else "1 would go") in result.output
    assert (store.committed("raw_scene", KEY, "v1") is None) == applied
    assert store.current("raw_scene", KEY).version == "v2"


def test_what_is_young_stays(store: Store) -> None:
    result = CliRunner().invoke(app, ["clean-up", "--older-than-days", "9999"])
    assert "0 would go" in result.output
