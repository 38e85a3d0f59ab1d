"""The UI in a browser, as a person sees it: the graph, a product, the switches."""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.demo import Demo
from support.waiting import wait_until
from typer.testing import CliRunner

from darts_assets.cli import app
from darts_assets.runs import instance_of
from resources.settings import Settings

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium on the PATH")


@pytest.fixture(scope="module")
def screenshots() -> Iterator[object]:
    """The script that takes the pictures of README."""
    sys.path.insert(0, str(ROOT / "docs"))
    import take_screenshots

    yield take_screenshots
    sys.path.remove(str(ROOT / "docs"))


def test_the_pictures_of_the_docs_can_be_taken_again(demo: Demo, screenshots, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    screenshots.main(demo.home, tmp_path)
    taken = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(taken) == set(re.findall(r"images/([a-z]+\.png)", (ROOT / "docs" / "ui.md").read_text()))
    assert all(10_000 < size < 150_000 for size in taken.values()), taken


def test_every_picture_of_a_page_is_there_and_small() -> None:
    for page in (ROOT / "docs" / "ui.md", ROOT / "README.md"):
        shown = re.findall(r"!\[[^]]+\]\(([^)]+)\)", page.read_text())
        assert shown
        assert all((page.parent / picture).stat().st_size < 150_000 for picture in shown)


def test_a_host_beyond_loopback_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    monkeypatch.setattr("os.execv", lambda program, command: started.extend(command))
    for name in ("DAGSTER_HOME", "DARTS_HOME"):
        monkeypatch.setenv(name, str(tmp_path))  # so that what the command sets is unset after the test
    told = {
        host: CliRunner().invoke(app, ["ui", "--home", str(tmp_path), "--host", host]).stderr
        for host in ("127.0.0.1", "localhost", "0.0.0.0")
    }
    assert started.count("-h") == 3
    assert not told["127.0.0.1"] + told["localhost"]
    for words in ("0.0.0.0", "asks nobody for a password", "deploy/"):
        assert words in told["0.0.0.0"]


def test_switches_are_off_until_a_person_turns_them_on(  # type: ignore[no-untyped-def]
    screenshots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {"process_new_scenes", "new_scenes"}
    monkeypatch.setenv("DARTS_HOME", str(tmp_path))
    with (
        screenshots.served(tmp_path) as address,
        screenshots.browser() as page,
        instance_of(Settings.load()) as instance,
    ):
        page.goto(f"{address}/automation")
        for name in ("schedules/nightly_backfill", *(f"sensors/{name}" for name in wanted)):
            switch = page.locator(SWITCH.format(name=name))
            switch.wait_for()
            assert not switch.locator("input").is_checked(), f"{name} must be off until a person turns it on"
        for name in wanted:
            page.locator(SWITCH.format(name=f"sensors/{name}")).click()
        wait_until(lambda: {one.name for one in instance.all_instigator_state() if one.is_running} - {ON} == wanted)


ON = "mark_not_begun"


SWITCH = "xpath=//a[contains(@href, '/{name}')]/following-sibling::div//label[contains(@class, 'formatSwitch')]"
