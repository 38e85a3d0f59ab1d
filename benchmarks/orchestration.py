"""What orchestration costs when the work is nothing: a backfill of scenes from the queue to its end.

    python benchmarks/orchestration.py [--scenes 1000] [--queued 0] [--sqlite | --password] [--pages]

A chain of eight assets, each one small file a scene, goes through everything that real ones go through: decorator,
store, IO manager, event log, queue, daemon. One scene in twenty fails at its first attempt; a second backfill takes up
what failed. Prints how long it took, the memory of daemon and webserver (with their children that serve code; runs
apart), how often each partition was made, what the second backfill touched, and what an asset costs in a run of one
scene. With `--queued` a further backfill of so many scenes is queued while no run may begin; with `--pages` the times
of pages in Chromium are taken, before and meanwhile. Storage is a PostgreSQL that the script starts, reached by its
socket as in deploy/systemd, or with `--password` over the network; or SQLite.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import dagster as dg
import psutil
import yaml
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from darts_assets.materialize import SCENE_ASSET, materialize
from darts_assets.partitions import SCENES, add
from darts_assets.products import product
from darts_assets.recording import ENVIRONMENT
from io_managers.base import StoreResource
from io_managers.files import FileIOManager

ROOT = Path(__file__).resolve().parents[1]
# the script makes a home, and is the code that its services load from there
HOME = Path(tempfile.mkdtemp(prefix="darts-orchestration-") if __name__ == "__main__" else os.environ["DARTS_HOME"])
LENGTH = 8
FAILS = 3
"""Of the chain: where one scene in `ONE_IN` fails at its first attempt."""
ONE_IN = 20


def _step(number: int) -> dg.AssetsDefinition:
    def make(context: dg.AssetExecutionContext, store: StoreResource) -> dg.MaterializeResult:
        key = context.partition_key
        tried = HOME / "tried" / key
        if number == FAILS and int(key[1:6]) % ONE_IN == 0 and not tried.exists():
            tried.parent.mkdir(exist_ok=True)
            tried.touch()
            raise ValueError(f"{key} fails at its first attempt, as it is meant to")
        return materialize(
            context,
            store.open(),
            inputs={"scene": key},
            parameters={},
            make=lambda: lambda folder: (folder / "product.txt").write_text(key),
            summarize=lambda stored: {"scene": key},
        )

    make.__name__ = f"step_{number}"
    return product(
        **SCENE_ASSET,
        deps=[f"step_{number - 1}"] if number > 1 else [],
        group_name="chain",
        io_manager_key="file",
        metadata={"contract": ".txt"},
        code_version="1",
    )(make)


store = StoreResource(root=str(HOME / "products"))
chain = [_step(number) for number in range(1, LENGTH + 1)]
defs = dg.Definitions(
    chain, resources={"store": store, "file": FileIOManager(store=store)}, executor=dg.in_process_executor
)


def main() -> None:
    """Start the services, run the backfills, and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=1000, help="of the backfill that is run to its end")
    parser.add_argument("--queued", type=int, default=0, help="scenes of a further backfill that is only queued")
    parser.add_argument("--sqlite", action="store_true", help="SQLite in place of PostgreSQL")
    parser.add_argument("--password", action="store_true", help="PostgreSQL over the network, with a password")
    parser.add_argument("--pages", action="store_true", help="take the times of pages in Chromium")
    options = parser.parse_args()
    os.environ |= ENVIRONMENT
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, HOME, ignore_errors=True)
        url, size = stack.enter_context(_sqlite() if options.sqlite else _postgres(options.password))
        with _serving(url) as (instance, services):
            _measure(instance, services, options)
        if options.queued:
            with _serving(url, runs=0) as (instance, services):
                _queue(instance, services, options)
        print(
            f"Dagster's storage: {size() / 1e3 / LENGTH / (options.scenes + options.queued):.1f} kB an asset of a scene"
        )


def _measure(instance: dg.DagsterInstance, services: "Services", options: argparse.Namespace) -> None:
    first = _add(instance, 0, options.scenes)
    if options.pages:
        services.browse("idle")
    seconds = _run(instance, "first", first)
    made = _made(instance)
    print(f"{len(first)} scenes, {LENGTH} assets each: {seconds:.0f} s to the end; {services.memory()}")
    lacking = [key for key in first if made[LENGTH - 1][key] == 0]
    expected = sum(1 for key in first if int(key[1:6]) % ONE_IN == 0)
    print(f"failed: {len(lacking)} scenes, {expected} were to")
    if options.pages:
        services.browse("after it")
    seconds = _run(instance, "second", lacking)
    made = _made(instance)
    counts = Counter(count for asset in made for key in first for count in [asset[key]])
    touched = {key for run in instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": "second"})) for key in _of(run)}
    print(
        f"{len(lacking)} taken up again: {seconds:.0f} s; touched {len(touched)}, of which failed "
        f"{len(touched & set(lacking))}"
    )
    lost = sum(1 for asset in made for key in first if asset[key] == 0)
    print(f"materializations a partition: {dict(sorted(counts.items()))}; lost: {lost}")
    wall, cpu = _alone(instance, first[:20])
    print(f"an asset of one scene in this process: {wall:.3f} s wall, {cpu:.3f} s CPU (bar 0.15)")


def _queue(instance: dg.DagsterInstance, services: "Services", options: argparse.Namespace) -> None:
    keys = _add(instance, options.scenes, options.queued)
    seconds = _run(instance, "queued", keys, until_queued=True)
    print(f"{len(keys)} scenes queued, while none runs: {seconds:.0f} s; {services.memory()}")
    runs = instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": "queued"}))
    named = Counter(key for run in runs for key in _of(run))
    print(f"runs a scene: {dict(Counter(named[key] for key in keys))}")
    if options.pages:
        services.browse("with the queue")


def _add(instance: dg.DagsterInstance, start: int, number: int) -> list[str]:
    """Register scenes."""
    keys = [_key(place) for place in range(start, start + number)]
    for place in range(0, number, 1000):
        add(instance, SCENES, keys[place : place + 1000])
    return keys


def _key(place: int) -> str:
    return f"T{place:05d}_20230801T000000_S2A"


def _run(instance: dg.DagsterInstance, name: str, keys: Sequence[str], *, until_queued: bool = False) -> float:
    """Seconds from asking for a backfill until it is done, or until all its runs wait or are done."""
    started = time.monotonic()
    instance.add_backfill(
        PartitionBackfill.from_asset_partitions(
            backfill_id=name,
            asset_graph=defs.resolve_asset_graph(),
            partition_names=list(keys),
            asset_selection=[asset.key for asset in chain],
            backfill_timestamp=time.time(),
            tags={},
            dynamic_partitions_store=instance,
            all_partitions=False,
            title=None,
            description=None,
            run_config=None,
        )
    )
    while True:
        time.sleep(1)
        backfill = instance.get_backfill(name)
        assert backfill is not None
        runs = instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": name}))
        if until_queued and len({key for run in runs for key in _of(run)}) >= len(keys):
            return time.monotonic() - started
        if backfill.status not in (BulkActionStatus.REQUESTED, BulkActionStatus.FAILING):
            return time.monotonic() - started


def _of(run: dg.DagsterRun) -> list[str]:
    """The scenes of a run of a backfill, whose keys were registered in their order."""
    one = run.tags.get("dagster/partition")
    if one:
        return [one]
    ends = run.tags["dagster/asset_partition_range_start"], run.tags["dagster/asset_partition_range_end"]
    first, last = (int(end[1:6]) for end in ends)
    return [_key(place) for place in range(first, last + 1)]


def _made(instance: dg.DagsterInstance) -> list[Counter[str]]:
    """Of each asset, how often each partition was materialized."""
    counts = []
    for asset in chain:
        cursor, found = None, Counter[str]()
        while True:
            page = instance.fetch_materializations(asset.key, limit=5000, cursor=cursor)
            found.update(str(record.partition_key) for record in page.records)
            cursor = page.cursor
            if not page.has_more:
                break
        counts.append(found)
    return counts


def _alone(instance: dg.DagsterInstance, keys: Sequence[str]) -> tuple[float, float]:
    """Seconds an asset, wall and CPU, where each scene is a run in this process and everything is there."""
    job = defs.resolve_implicit_global_asset_job_def()

    def run(key: str) -> None:
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        assert job.execute_in_process(instance=instance, partition_key=key, run_config=quiet).success

    run(keys[0])
    wall, cpu = time.perf_counter(), time.process_time()
    for key in keys:
        run(key)
    number = len(keys) * LENGTH
    return (time.perf_counter() - wall) / number, (time.process_time() - cpu) / number


class Services:
    """Daemon and webserver of a home."""

    def __init__(self, daemon: subprocess.Popen[bytes], server: subprocess.Popen[bytes], port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self._processes = {"daemon": daemon, "webserver": server}
        self._peak = dict.fromkeys(self._processes, 0)
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def memory(self) -> str:
        """Peak resident memory so far, and processor time, each with the children that serve code."""
        seconds = {name: sum(_seconds(one) for one in _family(process)) for name, process in self._processes.items()}
        told = (f"{name} {self._peak[name] / 1e6:.0f} MB, {seconds[name]:.0f} CPU s" for name in self._processes)
        return ", ".join(told)

    def browse(self, when: str) -> None:
        """Print how long pages take until they show what they are for."""
        from playwright.sync_api import sync_playwright

        pages = {
            "asset graph": ("/asset-groups", f"step_{LENGTH}"),
            "partitions of an asset": ("/assets/step_1?view=partitions", "T00000"),
            "runs": ("/runs", "Runs"),
        }
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            page = browser.new_page()
            page.goto(self.address)  # the first fills the browser's cache
            for name, (path, text) in pages.items():
                started = time.perf_counter()
                page.goto(self.address + path)
                page.get_by_text(text).locator("visible=true").first.wait_for(timeout=60_000)
                print(f"page {when}: {name}: {time.perf_counter() - started:.1f} s", flush=True)
            browser.close()

    def stop(self) -> None:
        self._stop.set()
        self._watcher.join()

    def _watch(self) -> None:
        while not self._stop.wait(1):
            for name, process in self._processes.items():
                total = sum(_resident(one) for one in _family(process))
                self._peak[name] = max(self._peak[name], total)


def _family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """A service and the servers of code under it, without the runs that these start."""
    with suppress(psutil.Error):
        parent = psutil.Process(process.pid)
        below = parent.children(recursive=True)
        return [
            parent,
            *(one for one in below if "grpc" in " ".join(_command(one)) and "execute_run" not in _command(one)),
        ]
    return []


def _command(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return process.cmdline()
    return []


def _resident(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0


def _seconds(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        times = process.cpu_times()
        return times.user + times.system
    return 0.0


@contextmanager
def _serving(postgres: str | None, runs: int | None = None) -> Iterator[tuple[dg.DagsterInstance, "Services"]]:
    _lay_home(postgres, runs)
    with _services() as services, dg.DagsterInstance.from_config(str(HOME)) as instance:
        yield instance, services


@contextmanager
def _services() -> Iterator[Services]:
    environment = {**os.environ, "DARTS_HOME": str(HOME), "DAGSTER_HOME": str(HOME), "PYTHONPATH": str(ROOT)}
    port = _support("postgres").free_port()
    workspace = ["-w", str(HOME / "workspace.yaml")]
    programs = Path(sys.executable).parent
    processes = []

    def start(*command: str) -> subprocess.Popen[bytes]:
        log = open(HOME / f"{command[0]}.log", "wb")  # noqa: SIM115  (the service writes to it until it ends)
        process = subprocess.Popen(
            [str(programs / command[0]), *command[1:], *workspace],
            env=environment, cwd=HOME, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        processes.append(process)
        return process

    try:
        started = time.monotonic()
        server = start("dagster-webserver", "-h", "127.0.0.1", "-p", str(port))
        _wait_for(f"http://127.0.0.1:{port}/server_info")
        print(f"start of the webserver to its first page: {time.monotonic() - started:.1f} s (bar 6)", flush=True)
        services = Services(start("dagster-daemon", "run"), server, port)
        yield services
        services.stop()
    finally:
        for process in processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _wait_for(url: str) -> None:
    while True:
        with suppress(OSError):
            urllib.request.urlopen(url, timeout=5).close()
            return
        time.sleep(0.1)


def _lay_home(postgres: str | None, runs: int | None) -> None:
    """Write the home's configuration; as shipped, but for the storage and, where it is given, how many runs go on."""
    config = yaml.safe_load((ROOT / ("deploy/dagster-postgres.yaml" if postgres else "dagster.yaml")).read_text())
    if postgres:
        config["storage"] = {"postgres": {"postgres_url": postgres}}
    if runs is not None:
        config["concurrency"]["runs"]["max_concurrent_runs"] = runs
    (HOME / "dagster.yaml").write_text(yaml.safe_dump(config))
    place = {
        "relative_path": str(Path(__file__).resolve()),
        "location_name": "orchestration",
        "working_directory": str(ROOT),
    }
    (HOME / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [{"python_file": place}]}))


@contextmanager
def _sqlite() -> Iterator[tuple[None, Callable[[], int]]]:
    yield None, lambda: sum(file.stat().st_size for file in HOME.rglob("*.db*"))


@contextmanager
def _postgres(password: bool) -> Iterator[tuple[str, Callable[[], int]]]:
    """URL of an empty database, and its bytes."""
    with _support("postgres").postgres_server() as server:
        url = server.database(socket=not password)
        database = urlsplit(url).path.removeprefix("/")
        question = ("-At", "-d", database, "-c", "SELECT pg_database_size(current_database())")
        yield url, lambda: int(server.run("psql", *question))


def _support(name: str):  # type: ignore[no-untyped-def]
    sys.path.append(str(ROOT / "tests"))
    return __import__(f"support.{name}", fromlist=[name])


if __name__ == "__main__":
    main()
