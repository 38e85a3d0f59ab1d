"""README does not promise what does not run."""

import re
from pathlib import Path

import pytest
from support.demo import Demo

README = Path(__file__).parents[2] / "README.md"


def test_the_notebook_example_runs(
    demo: Demo, checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (tmp_path / "path" / "to").mkdir(parents=True)
    (tmp_path / "path" / "to" / "scenes").symlink_to(demo.world / "scenes" / "planet_order")
    (tmp_path / "dem.tif").symlink_to(demo.world / "auxiliary" / "dem.tif")
    (tmp_path / "model.pt").symlink_to(checkpoints / "demo-native.pt")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(example, names)
    probabilities = names["probabilities"]["probabilities-demo-native"]  # type: ignore[index]
    assert 0 <= float(probabilities.min()) < 0.1
    assert 0.9 < float(probabilities.max()) <= 1


def test_every_picture_and_page_that_is_shown_exists() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README.read_text()):
        assert (README.parent / target).is_file(), target
