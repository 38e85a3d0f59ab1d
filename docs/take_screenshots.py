"""Take the pictures of the UI that README and docs/ui.md show, from a home in which the demo ran.

    python docs/take_screenshots.py .darts docs/images

Works on a copy of that home, in which one more scene arrives, cut off half way. Needs Chromium on the PATH. Each
picture waits for what it is to show, and fails where that does not appear.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, ViewportSize, sync_playwright

PATIENCE_S = 90
SIZE: ViewportSize = {"width": 1500, "height": 950}


@contextmanager
def served(home: Path) -> Iterator[str]:
    """The UI of a home on a free port; ends with all its processes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).parent / "darts-assets"), "ui", "--home", str(home), "--port", str(port)]
    log = open(home / "ui.log", "w")  # noqa: SIM115  (the server writes to it until it ends)
    server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(address, server, home / "ui.log")
        yield address
    finally:
        _end(server)
        log.close()


def _end(server: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGINT)
    try:
        server.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)


def _wait(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{address}/server_info", timeout=5)
            return
        except OSError:
            if server.poll() is not None:
                break
            time.sleep(0.5)
    raise RuntimeError(f"The UI did not come up:\n{log.read_text()[-3000:]}")


@contextmanager
def browser() -> Iterator[Page]:
    """A page of headless Chromium that never looks for a network."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        raise RuntimeError("Chromium is not on the PATH; install it (Debian: apt-get install chromium)")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=executable, args=[*flags, "--disable-sync", "--no-first-run"])
        page = chromium.new_page(viewport=SIZE)
        page.set_default_timeout(PATIENCE_S * 1000)
        yield page
        chromium.close()


def graph(page: Page, address: str, picture: Path) -> None:
    """The graph of all assets, every group open."""
    page.set_viewport_size({"width": 2300, "height": 1100})
    page.goto(f"{address}/asset-groups")
    page.get_by_text("g4_slumps").first.wait_for()
    page.keyboard.press("Alt+e")
    page.get_by_text("slump_dataset", exact=True).first.wait_for()
    page.wait_for_timeout(3000)
    _snap(page, picture, clip={"x": 545, "y": 112, "width": 1755, "height": 980})
    page.set_viewport_size(SIZE)


def overview(page: Page, address: str, folder: Path) -> None:
    """The asset that shows all scenes: made by its button, its tables, and its map."""
    page.goto(f"{address}/assets/scene_overview")
    page.get_by_text("Start here").first.wait_for()
    page.wait_for_timeout(1500)
    page.get_by_role("button", name="Materialize").first.click()
    _until(lambda: _ask(address, _MADE)["assetNodes"][0]["assetMaterializations"])
    _until(lambda: not _ask(address, _STARTED)["runsOrError"]["results"])
    page.goto(f"{address}/assets/scene_overview")
    page.get_by_text("progress by season", exact=True).first.wait_for()
    page.get_by_text("Latest materialization").first.wait_for()
    page.wait_for_timeout(700)
    _snap(page, folder / "overview.png")
    _shown(page, "map")
    _snap(page, folder / "map.png", clip={"x": 480, "y": 90, "width": 540, "height": 670})


def partition(page: Page, address: str, asset: str, key: str, title: str, picture: Path) -> None:
    """A materialized partition with the picture that its metadata holds under `title`."""
    page.goto(f"{address}/assets/{asset}?view=partitions&partition={key}")
    page.get_by_text("Materialized", exact=True).first.wait_for()
    _shown(page, title)
    _snap(page, picture)


def failed(page: Page, address: str, key: str, folder: Path) -> None:
    """A scene that is red, and where it says why."""
    page.goto(f"{address}/assets/raw_scene?view=partitions&partition={key}")
    page.get_by_text("did not materialize this asset").first.wait_for()
    page.wait_for_timeout(700)
    _snap(page, folder / "failed.png")
    page.get_by_text("View logs").click()
    page.get_by_text("truncated").first.wait_for()
    page.wait_for_timeout(700)
    _snap(page, folder / "why.png")


def automation(page: Page, address: str, picture: Path) -> None:
    """Every sensor and schedule with its switch."""
    page.goto(f"{address}/automation")
    for name in ("new_scenes", "process_new_scenes", "nightly_backfill", "hourly_overview"):
        page.get_by_text(name, exact=True).first.wait_for()
    page.wait_for_timeout(700)
    _snap(page, picture, clip={"x": 0, "y": 0, "width": 1500, "height": 740})


def backfill(page: Page, address: str, asset: str, folder: Path) -> None:
    """The dialog that makes partitions, the run at work, and the backfill, in which the cut scene failed again."""
    page.goto(f"{address}/assets/{asset}?view=partitions")
    page.get_by_text("Partitions Selected").first.wait_for()
    page.wait_for_timeout(1500)
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_text("Launch backfill").first.wait_for()
    page.get_by_role("button", name="All", exact=True).click()
    page.wait_for_timeout(700)
    _snap(page, folder / "backfill.png")
    page.get_by_text("Launch backfill").first.click()
    run = _until(lambda: _ask(address, _STARTED)["runsOrError"]["results"])[0]["runId"]
    page.goto(f"{address}/runs/{run}")
    page.get_by_text("STEP_START").first.wait_for()
    page.wait_for_timeout(700)
    _snap(page, folder / "running.png")
    _until(lambda: not _ask(address, _STARTED)["runsOrError"]["results"])
    page.goto(f"{address}/runs?view=backfills")
    page.get_by_text("Failure").first.wait_for()
    page.wait_for_timeout(700)
    _snap(page, folder / "backfills.png", clip={"x": 0, "y": 0, "width": 1500, "height": 400})


_STARTED = "{runsOrError(filter:{statuses:[QUEUED,STARTING,STARTED]}){... on Runs{results{runId}}}}"


def _snap(page: Page, picture: Path, clip: Any = None) -> None:
    """The page, with paths that do not begin where this machine happens to have the home and its packages."""
    page.evaluate(_NAMED_ONLY)
    page.screenshot(path=picture, clip=clip)


_NAMED_ONLY = r"""() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) walker.currentNode.data = walker.currentNode.data.replaceAll(window.home, "/my-home")
    .replace(/\/\S*\/(my-home|site-packages)/g, "$1");
}"""

_MADE = '{assetNodes(assetKeys:[{path:["scene_overview"]}]){assetMaterializations(limit:1){runId}}}'


def _shown(page: Page, title: str) -> None:
    """Open the picture that metadata holds under `title`."""
    page.get_by_role("row").filter(has=page.get_by_text(title, exact=True)).get_by_text("[Show Markdown]").click()
    image = page.locator("img[src^='data:image/webp']").first
    image.wait_for()
    page.wait_for_function("image => image.complete && image.naturalWidth > 100", arg=image.element_handle())
    page.wait_for_timeout(700)


def _ask(address: str, query: str) -> Any:
    body = json.dumps({"query": query}).encode()
    request = urllib.request.Request(f"{address}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["data"]


def _until(condition: Any) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise RuntimeError("What the picture is to show has not come")
        time.sleep(0.5)
    return found


@contextmanager
def copied(home: Path) -> Iterator[Path]:
    """A copy of a home, for what the pictures need to happen there."""
    with tempfile.TemporaryDirectory(prefix="darts-") as folder:
        copy = Path(folder) / "my-home"
        shutil.copytree(home, copy)
        settings = copy / "settings.toml"
        settings.write_text(settings.read_text().replace(str(home), str(copy)))
        yield copy


def a_scene_cut_off(home: Path) -> str:
    """Let one more PlanetScope scene arrive, cut off half way, and be processed; its key."""
    order, late = home / "demo-world" / "scenes" / "planet_order", home / "late_order"
    for file in (file for file in order.rglob("*") if file.is_file()):
        target = late / str(file.relative_to(order)).replace("20230819", "20230826")
        target.parent.mkdir(parents=True, exist_ok=True)
        content = file.read_bytes()
        if file.suffix == ".json":
            content = content.replace(b"20230819", b"20230826").replace(b"2023-08-19", b"2023-08-26")
        target.write_bytes(content[: len(content) // 2] if file.match("*Analytic*.tif") else content)
    command = [str(Path(sys.executable).parent / "darts-assets"), "run", str(late), "--home", str(home)]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    if "truncated" not in told:
        raise RuntimeError(f"The scene that is cut off did not fail for that: {told}")
    return next(word for word in told.split() if "20230826" in word)


def shrink(folder: Path) -> None:
    """Bring every picture down to 128 colours: a quarter of the bytes, and no difference that is seen."""
    for path in folder.glob("*.png"):
        with Image.open(path) as image:
            few = image.convert("RGB").quantize(128, dither=Image.Dither.NONE)
        few.save(path, optimize=True)


def main(home: Path, folder: Path) -> None:
    """Take all pictures."""
    from darts_core.store import Store

    folder.mkdir(parents=True, exist_ok=True)
    sentinel2 = next(key for key in Store(str(home / "products")).partitions("preprocessed") if key.startswith("T"))
    with tempfile.TemporaryDirectory() as scratch, copied(home) as copy, served(copy) as address, browser() as page:
        page.add_init_script(f"window.home = {json.dumps(str(home))}")
        taken = Path(scratch)
        graph(page, address, taken / "graph.png")
        cut = a_scene_cut_off(copy)
        overview(page, address, taken)
        partition(page, address, "preprocessed", sentinel2, "quicklook", taken / "preprocessed.png")
        found = "kept for validation: truth yellow, found blue"
        partition(page, address, "segmentation_model", "demo-super-resolved", found, taken / "model.png")
        partition(page, address, "ensemble", sentinel2, "probabilities", taken / "ensemble.png")
        failed(page, address, cut, taken)
        automation(page, address, taken / "automation.png")
        backfill(page, address, "raw_scene", taken)
        shrink(taken)
        for picture in sorted(taken.iterdir()):
            shutil.copyfile(picture, folder / picture.name)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute())
