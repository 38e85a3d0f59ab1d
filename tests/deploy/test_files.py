"""What deploy/ holds, read by the tools that will read it, and held to what its pages promise."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import s3fs
import yaml
from dagster import DagsterInstance

from darts_assets.recording import ENVIRONMENT
from darts_assets.retention import Retention, apply_retention
from resources.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
GIVEN = {"POSTGRES_PASSWORD": "a" * 16, "OBJECTS_PASSWORD": "b" * 16, "SCENES": "/srv/scenes"}


def composed(*files: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What compose makes of the files: Docker's plugin, or the older program of Debian."""
    plugin = shutil.which("docker") and subprocess.run(
        ["docker", "compose", "version"], capture_output=True, check=False
    )
    program = ["docker", "compose"] if plugin and plugin.returncode == 0 else ["docker-compose"]
    if shutil.which(program[0]) is None:
        pytest.skip("needs docker compose (Debian: docker-compose)")
    named = [word for file in files for word in ("-f", str(DEPLOY / "compose" / file))]
    environment |= {"PATH": os.environ["PATH"], "HOME": "/tmp"}
    return subprocess.run([*program, *named, "config"], env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    done = composed("compose.yaml", **GIVEN)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = yaml.safe_load(done.stdout)["services"]
    return found


def test_only_the_proxy_can_be_reached_and_on_loopback_only(services: dict[str, Any]) -> None:
    (published,) = [service for service in services if services[service].get("ports")]
    assert published == "proxy"
    assert json.dumps(services["proxy"]["ports"]).count("127.0.0.1") == 1
    outside = {name for name, service in services.items() if "outside" in service["networks"]}
    assert outside == {"proxy", "code"}


def test_our_services_run_unprivileged_on_a_read_only_root(services: dict[str, Any]) -> None:
    ours = {name: service for name, service in services.items() if service["image"].startswith("darts-assets")}
    assert set(ours) == {"webserver", "daemon", "code", "bucket"}
    for service in [*ours.values(), services["proxy"]]:
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    assert {service["user"] for service in ours.values()} == {"10001:10001"}
    for name in ("webserver", "daemon", "code", "postgres", "objects"):
        assert services[name]["healthcheck"]["test"], name


@pytest.mark.parametrize("missing", GIVEN)
def test_compose_starts_nothing_without_a_password(missing: str) -> None:
    done = composed("compose.yaml", **{name: value for name, value in GIVEN.items() if name != missing})
    assert done.returncode != 0
    assert "README.md" in done.stderr


def test_a_gpu_is_reserved_on_request_only(services: dict[str, Any]) -> None:
    assert "deploy" not in services["code"]
    done = composed("compose.yaml", "gpu.yaml", **GIVEN, DEVICE="gpu")
    code = yaml.safe_load(done.stdout)["services"]["code"]
    (device,) = code["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert code["image"] == "darts-assets:gpu"


def test_every_example_variable_is_one_that_compose_knows() -> None:
    asked = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose" / "compose.yaml").read_text()))
    offered = set(re.findall(r"^(\w+)=", (DEPLOY / "compose" / "env.example").read_text(), re.MULTILINE))
    assert asked == offered


def test_every_process_writes_events_together(services: dict[str, Any]) -> None:
    values = yaml.safe_load((DEPLOY / "helm" / "values.yaml").read_text())
    (deployment,) = values["dagster-user-deployments"]["deployments"]
    parts = (deployment, values["dagsterWebserver"], values["dagsterDaemon"])
    of_helm = [{one["name"]: one["value"] for one in part["env"]} for part in parts]
    of_compose = [services[name]["environment"] for name in ("webserver", "daemon", "code")]
    example = (DEPLOY / "systemd" / "environment.example").read_text()
    of_systemd = dict(line.split("=", 1) for line in example.splitlines() if re.match(r"\w+=", line))
    for environment in (*of_helm, *of_compose, of_systemd):
        assert ENVIRONMENT.items() <= environment.items()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze (Debian: systemd)")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    for unit in [*UNITS, *(DEPLOY / "systemd").glob("*.timer")]:
        text = unit.read_text().replace("/opt/darts-assets/.venv/bin", str(Path(sys.executable).parent))
        (tmp_path / unit.name).write_text(
            text.replace("WorkingDirectory=/opt/darts-assets", f"WorkingDirectory={ROOT}")
        )
    done = subprocess.run(
        ["systemd-analyze", "verify", *map(str, tmp_path.iterdir())], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_units_are_confined_and_listen_on_loopback(unit: Path) -> None:
    text = unit.read_text()
    assert {"User=darts", "NoNewPrivileges=yes", "ProtectSystem=strict"} <= set(text.splitlines())
    assert set(re.findall(r"-h (\S+)", text)) <= {"127.0.0.1"}


def snake(name: str) -> str:
    """A value of the chart as Dagster calls it."""
    return re.sub(r"([A-Z])", lambda found: f"_{found[1].lower()}", name)


def instance_files() -> Iterator[Any]:
    for file in (ROOT / "dagster.yaml", DEPLOY / "dagster-postgres.yaml"):
        yield pytest.param(file, id=file.name)


@pytest.mark.parametrize("file", instance_files())
def test_dagster_takes_the_instance(
    file: Path, tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", postgres_url)
    shutil.copy(file, tmp_path / "dagster.yaml")
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.run_monitoring_enabled
        assert instance.run_retries_enabled
        assert not instance.telemetry_enabled


def test_the_chart_would_give_dagster_an_instance_and_runs_that_kubernetes_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from dagster_k8s.job import UserDefinedDagsterK8sConfig

    values = yaml.safe_load((DEPLOY / "helm" / "values.yaml").read_text())
    run = values["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]
    config = UserDefinedDagsterK8sConfig.from_dict({snake(name): value for name, value in run.items()})
    assert config.job_spec_config["backoff_limit"] == 0
    (deployment,) = values["dagster-user-deployments"]["deployments"]
    assert "resources" not in deployment, "runs would take them for theirs"
    for part in (deployment, values["dagsterWebserver"], values["dagsterDaemon"]):
        assert part["securityContext"]["readOnlyRootFilesystem"]
        assert part["podSecurityContext"]["runAsNonRoot"]
        for variable in part["env"]:
            monkeypatch.setenv(variable["name"], variable["value"])
    settings = Settings.load()
    assert settings.kubernetes.limits["nvidia.com/gpu"] == str(settings.ranks)
    assert values["ingress"]["annotations"]["nginx.ingress.kubernetes.io/auth-type"] == "basic"
    text = (DEPLOY / "helm" / "values.yaml").read_text()
    assert not re.search(r"^[^#]*(password|key):\s*\S", text.lower(), re.MULTILINE), "secrets are named, not held"


def test_what_runs_print_in_kubernetes_is_in_the_bucket_and_goes_with_them(tmp_path: Path, s3: str) -> None:
    chosen = yaml.safe_load((DEPLOY / "helm" / "values.yaml").read_text())["computeLogManager"]
    config = {snake(name): value for name, value in chosen["config"]["s3ComputeLogManager"].items()}
    bucket, prefix = config["bucket"], config["prefix"]
    s3fs.S3FileSystem(endpoint_url=s3).makedirs(bucket, exist_ok=True)
    config |= {"local_dir": str(tmp_path / "logs"), "endpoint_url": s3}
    manager = {"module": "dagster_aws.s3", "class": chosen["type"], "config": config}

    @dg.op
    def shout() -> None:
        print("no elevation here")

    @dg.job(executor_def=dg.in_process_executor)
    def shouting() -> None:
        shout()

    with dg.instance_for_test(overrides={"compute_logs": manager}, temp_dir=str(tmp_path)) as instance:
        run = shouting.execute_in_process(instance=instance).run_id
        files = s3fs.S3FileSystem(endpoint_url=s3, use_listings_cache=False)
        printed = [name for name in files.find(f"{bucket}/{prefix}") if run in name]
        assert any(b"no elevation here" in files.cat_file(name) for name in printed)
        apply_retention(instance, Retention((run,), ()))
        assert [name for name in files.find(f"{bucket}/{prefix}") if run in name] == []


def test_settings_for_slurm_are_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(DEPLOY / "slurm" / "settings.toml", tmp_path)
    monkeypatch.setenv("DARTS_HOME", str(tmp_path))
    settings = Settings.load()
    assert settings.launcher.value == "slurm"
    assert settings.slurm.gres == f"gpu:{settings.ranks}"
    subprocess.run(["bash", "-n", DEPLOY / "slurm" / "orchestrator.sbatch"], check=True)


def test_the_container_file_names_what_is_there() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    sources = {word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE) for word in line.split()}
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {package.rstrip("*") for package in packages} <= sources
    for source in sources:
        assert (ROOT / source).exists()
        assert f"!{source}" in ignored
    assert text.rstrip().splitlines()[-4] == "USER 10001:10001"


def test_torch_and_its_companion_are_found_in_the_lock() -> None:
    (pattern,) = re.findall(r"sed -nE '(s/.+?/p)'", (DEPLOY / "Containerfile").read_text())
    done = subprocess.run(
        ["sed", "-nE", pattern, ROOT / "requirements.lock"], capture_output=True, text=True, check=True
    )
    assert [line.split("==")[0] for line in done.stdout.splitlines()] == ["torch", "torchvision"]


@pytest.mark.parametrize("page", sorted(DEPLOY.rglob("README.md")), ids=lambda page: page.parent.name)
def test_a_page_is_one_screen_and_its_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    assert len(text.splitlines()) <= 45
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("https://") or (page.parent / target).exists(), target
