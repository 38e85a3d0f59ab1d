"""Take the pictures of the UI that README shows, from a home in which the demo ran.

    python docs/take_screenshots.py .darts docs/images

Needs Chromium on the PATH. Each picture waits for what it is to show, and fails where that does not appear.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

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
    page.screenshot(path=picture, clip={"x": 545, "y": 112, "width": 1755, "height": 870})
    page.set_viewport_size(SIZE)


def partition(page: Page, address: str, asset: str, key: str, title: str, picture: Path) -> None:
    """A materialized partition with the picture that its metadata holds under `title`."""
    page.goto(f"{address}/assets/{asset}?view=partitions&partition={key}")
    page.get_by_text("Materialized", exact=True).first.wait_for()
    page.get_by_role("row").filter(has=page.get_by_text(title, exact=True)).get_by_text("[Show Markdown]").click()
    image = page.locator("img[src^='data:image/webp']").first
    image.wait_for()
    page.wait_for_function("image => image.complete && image.naturalWidth > 100", arg=image.element_handle())
    page.wait_for_timeout(700)
    page.screenshot(path=picture)


def main(home: Path, folder: Path) -> None:
    """Take all pictures."""
    from darts_core.store import Store

    folder.mkdir(parents=True, exist_ok=True)
    sentinel2 = next(key for key in Store(str(home / "products")).partitions("preprocessed") if key.startswith("T"))
    with served(home) as address, browser() as page:
        graph(page, address, folder / "graph.png")
        partition(page, address, "preprocessed", sentinel2, "quicklook", folder / "preprocessed.png")
        partition(page, address, "ensemble", sentinel2, "probabilities", folder / "ensemble.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute())
