"""A Slurm of one node, started by the tests: real daemons in a folder of their own, without cgroups and accounting."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel")

CONF = """
ClusterName=darts
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
SlurmctldPort={controller}
SlurmdPort={node}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
KillWait=2
ReturnToService=2
SchedulerParameters=batch_sched_delay=0,sched_interval=2,requeue_delay=1
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=2000
PartitionName=cpu Nodes={host} Default=YES MaxTime=60 State=UP
"""


def missing() -> str:
    """Why there can be none here; empty where there can."""
    lacking = [command for command in NEEDED if shutil.which(command) is None]
    if lacking:
        return f"needs Slurm (Debian: slurm-wlm), which is not here: {', '.join(lacking)}"
    return "" if os.geteuid() == 0 else "needs root, to start Slurm's daemons"


@contextmanager
def one_node(folder: Path) -> Iterator[Path]:
    """Daemons that listen on loopback; yields the slurm.conf that Slurm's commands need in SLURM_CONF."""
    for name in ("munge", "state", "spool"):
        (folder / name).mkdir(parents=True)
    (folder / "munge").chmod(0o711)
    (folder / "munge" / "key").write_bytes(os.urandom(1024))
    (folder / "munge" / "key").chmod(0o400)
    conf, host = folder / "slurm.conf", socket.gethostname().partition(".")[0]
    conf.write_text(
        CONF.format(folder=folder, host=host, controller=_free_port(), node=_free_port(), cpus=os.cpu_count())
    )
    own = {name: f"{folder}/munge/{name}" for name in ("socket", "pid-file", "log-file", "seed-file")}
    own["key-file"] = f"{folder}/munge/key"
    munge = ["munged", "--foreground", "--force", *(f"--{name}={path}" for name, path in own.items())]
    environment = {**os.environ, "SLURM_CONF": str(conf)}
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        for command in (munge, ["slurmctld", "-D"], ["slurmd", "-D"]):
            daemons.append(_start(command, environment, folder))
            time.sleep(0.3)
        _wait_for_node(environment, folder)
        yield conf
    finally:
        # what a failed test has left
        subprocess.run(["scancel", "--user", "root", "--full", "--signal=KILL"], env=environment, check=False)
        subprocess.run(["scancel", "--user", "root"], env=environment, check=False)
        for daemon in reversed(daemons):
            daemon.send_signal(signal.SIGTERM)
        for daemon in daemons:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def _start(command: list[str], environment: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
    with open(folder / f"{command[0]}.out", "wb") as output:
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)


def _wait_for_node(environment: dict[str, str], folder: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        shown = subprocess.run(
            ["sinfo", "--noheader", "--format=%T"], env=environment, capture_output=True, text=True, check=False
        )
        if shown.stdout.strip() == "idle":
            return
        if time.monotonic() > deadline:
            logs = "\n".join(file.read_text()[-2000:] for file in folder.glob("*.log"))
            raise RuntimeError(f"Slurm does not start: {shown.stdout}{shown.stderr}\n{logs}")
        time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
