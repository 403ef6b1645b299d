"""docker-compose.yml is valid by the compose specification, and says nothing that is not so."""

import json
import os
import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from agents.settings import from_env
from stream.errors import OperatorError

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)
_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")
_PINNED = re.compile(r"^[\w./-]+:v?\d+\.\d+\.\d+[\w.-]*$")


def filled(text: str) -> str:
    """What compose makes of ${VARIABLES}: the default, or a stand-in where one is demanded."""
    return _VARIABLE.sub(lambda m: m[3] if m[2] == "-" else "secret", text)


def one_shot(service: dict[str, Any]) -> bool:
    """Does it do its work and end?"""
    return service.get("restart") in ("no", "on-failure")


def test_compose_keeps_to_its_specification() -> None:
    """The compose specification's own JSON schema (carried by check-jsonschema) takes the file."""
    carried = distribution("check-jsonschema").locate_file("check_jsonschema/builtin_schemas/vendor/compose-spec.json")
    schema = json.loads(Path(str(carried)).read_text(encoding="utf-8"))

    jsonschema.validate(COMPOSE, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"services": {"x": {"imagine": "y"}}}, schema)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_image_is_pinned(name: str) -> None:
    """A tag of three numbers: never latest, never a moving minor."""
    assert _PINNED.match(SERVICES[name]["image"])


def test_our_image_has_the_version_of_the_package() -> None:
    """A new version is a new tag."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

    assert {SERVICES[name]["image"] for name in OURS} == {f"liveroom:{version}"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_is_watched_or_ends(name: str) -> None:
    """A health check and a restart policy, or work that is done once; bounded memory and bounded logs for all."""
    service = SERVICES[name]

    assert one_shot(service) != ("healthcheck" in service)
    assert one_shot(service) or service["restart"] == "unless-stopped"
    assert "mem_limit" in service
    assert service["logging"]["options"]["max-size"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_what_is_waited_for_can_happen(name: str) -> None:
    """healthy needs a health check, completed needs a service that ends."""
    for other, how in SERVICES[name].get("depends_on", {}).items():
        wanted = "service_completed_successfully" if one_shot(SERVICES[other]) else "service_healthy"
        assert how["condition"] == wanted


@pytest.mark.parametrize("name", OURS)
def test_our_settings_are_settings(name: str) -> None:
    """The environment of each of our services is read as `Settings`; a misspelt variable would not be."""
    environment = {key: filled(str(value)) for key, value in SERVICES[name]["environment"].items()}

    assert all(key.startswith("LIVEROOM_") for key in environment)
    assert from_env(environment).kafka == "kafka:9092"
    with pytest.raises(OperatorError):
        from_env({**environment, "LIVEROOM_TOKN": "x"})


@pytest.mark.parametrize("name", OURS)
def test_our_commands_exist(name: str) -> None:
    """Each command is one that `liveroom` has."""
    cli = pytest.importorskip("agents.cli", exc_type=ModuleNotFoundError)

    assert SERVICES[name]["command"][0] in cli.main.commands


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_what_is_mounted_exists(name: str) -> None:
    """A path is in the repository and read-only, a name is a volume; each volume is used."""
    for mount in SERVICES[name].get("volumes", ()):
        source, _, mode = [*mount.split(":"), ""][:3]
        if source.startswith("."):
            assert (ROOT / source).exists()
            assert mode == "ro"
        else:
            assert source in COMPOSE["volumes"]


def test_grafana_finds_the_dashboards_where_they_are_mounted() -> None:
    """The provider's folder and the home dashboard lie in a mount."""
    mounts = {target: ROOT / source for source, target, *_ in (m.split(":") for m in SERVICES["grafana"]["volumes"])}
    provider = yaml.safe_load((ROOT / "dashboards/grafana/provisioning/dashboards/liveroom.yml").read_text())
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])

    assert mounts[provider["providers"][0]["options"]["path"]].is_dir()
    assert (mounts[str(home.parent)] / home.name).is_file()


def test_prometheus_scrapes_the_services_there_are() -> None:
    """Every target is a service of this file, at a port it listens on."""
    config = yaml.safe_load((ROOT / "dashboards/prometheus/prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    worker, gateway = SERVICES["worker"]["environment"], SERVICES["gateway"]["environment"]

    assert jobs["worker"]["dns_sd_configs"][0]["names"] == ["worker"]
    assert jobs["worker"]["dns_sd_configs"][0]["port"] == worker["LIVEROOM_METRICS_PORT"]
    assert jobs["gateway"]["static_configs"][0]["targets"] == [f"gateway:{gateway['LIVEROOM_GATEWAY_PORT']}"]


def test_workers_can_be_scaled() -> None:
    """No name and no published port of its own, so that there may be several."""
    assert not {"container_name", "ports", "hostname"} & set(SERVICES["worker"])


def test_nothing_is_open_to_the_world_without_a_secret() -> None:
    """A port on every address belongs to a service that demands a secret; the others are on loopback only."""
    open_to_all = {
        name for name, s in SERVICES.items() for port in s.get("ports", ()) if not port.startswith("127.0.0.1:")
    }

    assert open_to_all == {"gateway", "grafana"}
    for name in open_to_all:
        assert any(":?" in str(value) for value in SERVICES[name]["environment"].values())
    environments = [service["environment"] for service in SERVICES.values() if "environment" in service]
    secrets = [v for e in environments for key, v in e.items() if key.endswith(("TOKEN", "PASSWORD"))]
    assert len(secrets) == 3
    assert all(value.startswith("${") and ":?" in value for value in secrets)


def test_the_image_is_built_from_what_is_let_in() -> None:
    """What the Dockerfile copies is let through by .dockerignore, its base is pinned, and it does not run as root."""
    text = (ROOT / ".docker" / "Dockerfile").read_text(encoding="utf-8")
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source
        for line in text.splitlines()
        if line.startswith("COPY") and "--from" not in line
        for source in line.split()[1:-1]
    }

    assert copied == let_in
    assert all(_PINNED.match(line.split()[1]) for line in text.splitlines() if line.startswith("FROM"))
    assert re.findall(r"^USER (\w+)", text, re.MULTILINE) == ["liveroom"]
    assert not os.access(ROOT / "Dockerfile", os.F_OK), "the visible top level is fixed"
