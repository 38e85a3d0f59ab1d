"""Kills at random: workers, runs, the daemon and its code server, each time while the demo's scenes are processed.

    make demo && python benchmarks/recovery.py [--kills 10] [--home .darts] [--seed 1]

A home of its own takes scenes and models from that of the demo; super-resolution and segmentation run in processes of
their own. Before each kill the products are removed and the scenes queued; the daemon is started again where it was
killed, as systemd would; run monitoring retries what died, and what is still lacking then is queued once more, as the
nightly backfill does. Prints a line a kill, and at the end how many recovered by themselves and with the night's help,
and whether products differ from those of an undisturbed run, processes were left, or files that belong to nothing.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import dagster as dg
import psutil
import yaml

from darts_assets.queueing import queue
from darts_assets.runs import add_scenes, instance_of, prepare_home
from darts_core.scenes import find_scenes
from darts_core.store import STAGING, Store
from resources.settings import Settings
from resources.supervisor import MARK

ROOT = Path(__file__).resolve().parents[1]
ASSETS = (
    *("raw_scene", "preprocessed", "sr_patches", "sr_geotiff", "segmentation_probabilities"),
    *("ensemble", "segmentation_mask", "slump_polygons"),
)
KINDS = ("worker", "run", "daemon", "code server")
PATIENCE = 900.0
"""Seconds for a round."""


def main() -> None:
    """Kill, wait, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--home", type=Path, default=Path(".darts"), help="in which the demo ran")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="darts-recovery-") as name:
        home, chance = Path(name), random.Random(options.seed)
        os.environ |= {"DARTS_HOME": name, "DAGSTER_HOME": str(home / "dagster"), "PYTHONPATH": str(ROOT)}
        _lay_home(home, options.home.absolute())
        settings = Settings.load()
        store = Store(settings.products)
        with instance_of(settings) as instance, Daemon(home) as daemon:
            keys = add_scenes(instance, store, list(find_scenes(str(settings.scenes)).scenes))
            rounds = Rounds(instance, store, daemon, keys)
            seconds = rounds.undisturbed()
            print(f"undisturbed: {len(keys)} scenes in {seconds:.0f} s", flush=True)
            for number in range(options.kills):
                print(f"{number + 1}: {rounds.one(chance, seconds)}", flush=True)
                print(f"so far: {rounds.told}", flush=True)


def _lay_home(home: Path, demo: Path) -> None:
    world, products = demo / "demo-world", Store(str(demo / "products"))
    checkpoints = home / "checkpoints"
    checkpoints.mkdir()
    for model in products.partitions("segmentation_model"):
        shutil.copy(products.current("segmentation_model", model).path(f"{model}.pt"), checkpoints)
    if not products.partitions("super_resolution_model"):
        raise SystemExit(f"There are no models in {demo}; run make demo first, or name its home with --home")
    (upscaler,) = products.partitions("super_resolution_model")
    lines = {
        "scenes": world / "scenes",
        "dem": world / "auxiliary" / "dem.tif",
        "trends": world / "auxiliary" / "trends.tif",
        "checkpoints": checkpoints,
        "upscaler": products.current("super_resolution_model", upscaler).path(f"{upscaler}.pt"),
        "launcher": "local",
    }
    (home / "settings.toml").write_text("".join(f'{name} = "{value}"\n' for name, value in lines.items()))
    prepare_home(Settings.load())
    file = home / "dagster" / "dagster.yaml"
    config = yaml.safe_load(file.read_text())
    config["run_monitoring"] |= {"poll_interval_seconds": 5, "free_slots_after_run_end_seconds": 1}
    file.write_text(yaml.safe_dump(config))


class Daemon:
    """The daemon of a home, started again when it is gone."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._log = open(home / "daemon.log", "ab")  # noqa: SIM115  (the daemon writes to it until it ends)

    def __enter__(self) -> "Daemon":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        for process in [self.process, *_below(self.process)]:
            with suppress(psutil.Error):
                process.kill()
        self._log.close()

    def start(self) -> None:
        command = [str(Path(sys.executable).parent / "dagster-daemon"), "run", "-w", str(ROOT / "workspace.yaml")]
        started = subprocess.Popen(command, stdout=self._log, stderr=self._log, start_new_session=True)
        self._started, self.process = started, psutil.Process(started.pid)

    def ensure(self) -> None:
        if self._started.poll() is not None:
            self.start()

    def victims(self, kind: str) -> list[psutil.Process]:
        """Processes of a kind that are there now."""
        servers = [one for one in _family(self._home) if "grpc" in _command(one)]
        if kind == "daemon":
            return [self.process]
        if kind == "code server":
            return servers
        workers = [one for one in _family(self._home) if MARK in _environment(one)]
        if kind == "worker":
            return workers
        known = {self.process, *servers, *workers}
        return [one for one in _family(self._home) if one not in known and "resource_tracker" not in _command(one)]


class Rounds:
    """Kills one after the other, and what came of each."""

    def __init__(self, instance: dg.DagsterInstance, store: Store, daemon: Daemon, keys: list[str]) -> None:
        self._instance, self._store, self._daemon, self._keys = instance, store, daemon, keys
        self._count: Counter[str] = Counter()

    def undisturbed(self) -> float:
        """Seconds of a run that nobody disturbs; its products are what all others are compared with."""
        started = time.monotonic()
        self._begin()
        self._wait()
        self._expected = self._products()
        assert len(self._expected) == len(ASSETS) * len(self._keys), "the undisturbed run does not make all"
        return time.monotonic() - started

    def one(self, chance: random.Random, seconds: float) -> str:
        """Kill one process at a random moment, and wait for the products."""
        self._begin()
        kind = chance.choice(KINDS)
        made, victim = self._victim(kind, chance, seconds)
        victim.kill()
        time.sleep(1)
        self._daemon.ensure()
        self._wait()
        nights = 0
        while len(self._products()) < len(self._expected) and nights < 3:
            nights += 1
            self._queue()
            self._wait()
        found = {
            "recovered by itself": nights == 0 and len(self._products()) == len(self._expected),
            "recovered with the night": nights > 0 and len(self._products()) == len(self._expected),
            "other bytes": any(self._expected[one] != digest for one, digest in self._products().items()),
            "processes left": bool(self._left()),
            "files left": bool(self._litter()),
        }
        self._count += Counter(what for what, is_so in found.items() if is_so)
        self._count["kills"] += 1
        told = "; ".join(what for what, is_so in found.items() if is_so)
        return f"{kind} killed with {made} products made: {told} {self._left() or ''} {self._litter() or ''}".strip()

    def _victim(self, kind: str, chance: random.Random, seconds: float) -> tuple[int, psutil.Process]:
        """How many products are made at a random moment at which there are processes of a kind, and one of these."""
        while True:
            time.sleep(chance.uniform(0, seconds))
            if victims := self._daemon.victims(kind):
                return len(self._products()), chance.choice(victims)
            self._wait()
            self._begin()

    @property
    def told(self) -> str:
        """The sum of all."""
        return ", ".join(f"{what} {self._count[what]}" for what in (
            "kills", "recovered by itself", "recovered with the night", "other bytes", "processes left", "files left"
        ))  # fmt: skip

    def _begin(self) -> None:
        for asset in ASSETS:
            shutil.rmtree(Path(self._store.root, asset), ignore_errors=True)
        self._queue()

    def _queue(self) -> None:
        queue(self._instance, [self._keys], None)

    def _wait(self) -> None:
        """Until no run waits or works."""
        latest, quiet = time.monotonic() + PATIENCE, 0
        unfinished = dg.RunsFilter(statuses=[
            dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING,
            dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING,
        ])  # fmt: skip
        while quiet < 8:  # run monitoring and retries look every few seconds
            time.sleep(1)
            self._daemon.ensure()
            quiet = 0 if self._instance.get_runs(unfinished, limit=1) else quiet + 1
            if len(self._products()) == len(ASSETS) * len(self._keys) and quiet:
                return
            assert time.monotonic() < latest, "a run neither ends nor goes on"

    def _products(self) -> dict[tuple[str, str, str], str]:
        """Checksum of every product that is there, by asset, scene and version."""
        found = {}
        for asset in ASSETS:
            for key in self._store.partitions(asset):
                version = self._store.current(asset, key)
                objects = sorted((name, record.sha256) for name, record in version.manifest.objects.items())
                found[asset, key, version.version] = str(objects)
        return found

    def _left(self) -> list[str]:
        """Processes of jobs, which must have ended with their runs."""
        return [_command(one) for one in self._daemon.victims("worker")]

    def _litter(self) -> list[str]:
        """What lies in the store and belongs to no version, once the next writer has swept."""
        with self._store.draft("sweep", "sweep", "v1"):
            pass
        root = Path(self._store.root)
        staged = [str(path) for path in (root / STAGING).glob("*")]
        versions = [path for asset in ASSETS for path in (root / asset).glob("*/*") if path.is_dir()]
        return staged + [
            str(path) for path in versions if not (path / "manifest.json").exists() or (path / ".parts").exists()
        ]


def _family(home: Path) -> list[psutil.Process]:
    """All processes that live on this home, but this one."""
    others = (one for one in psutil.process_iter() if one.pid != os.getpid())
    return [one for one in others if _environment(one).get("DARTS_HOME") == str(home)]


def _below(process: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.Error):
        return list(process.children(recursive=True))
    return []


def _environment(process: psutil.Process) -> dict[str, str]:
    with suppress(psutil.Error):
        return dict(process.environ())
    return {}


def _command(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


if __name__ == "__main__":
    main()
