"""docker-compose.yml parses, and its files and settings exist."""

import re
from pathlib import Path
from typing import Any

import pytest
from compose_spec import PyCompose

from loadtests.bench.redis_server import running_redis
from service.settings import PREFIX, Settings
from tests.deploy.dockerfile import read_stages
from tests.deploy.files import DEPLOY, ROOT, VERSION_TAG, image_tags, read_yaml, seconds, settings_of

COMPOSE = ROOT / "docker-compose.yml"
VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")
TEXT = VARIABLE.sub(r"\2", COMPOSE.read_text())
SERVICES: dict[str, dict[str, Any]] = PyCompose.from_yaml(TEXT).to_dict()["services"]
PUBLISHED = {"kakehashi": 8000, "prometheus": 9090, "grafana": 3000, "locust": 8089}


def environment() -> dict[str, str]:
    """The server's environment, with no variable set by the user."""
    given = read_yaml(COMPOSE)["services"]["kakehashi"]["environment"]
    return {name: value for name, value in given.items() if value is not None}


def mounts(name: str) -> dict[str, Path]:
    """The directories of the repository by their mount points in a service."""
    volumes = [volume.split(":") for volume in read_yaml(COMPOSE)["services"][name].get("volumes", ())]
    return {target: ROOT / source for source, target, *_ in volumes if source.startswith(".")}


def on_the_host(name: str, path: str) -> Path:
    (found,) = [source / path.removeprefix(f"{at}/") for at, source in mounts(name).items() if path.startswith(at)]
    return found


def test_networks_and_volumes_that_are_named_are_there() -> None:
    PyCompose.from_yaml(TEXT).validate()
    assert SERVICES.keys() == {"kakehashi", "redis", "prometheus", "grafana", "locust"}


def test_every_variable_is_a_setting() -> None:
    given = read_yaml(COMPOSE)["services"]["kakehashi"]["environment"]
    assert {name.removeprefix(PREFIX).lower() for name in given} <= Settings.model_fields.keys()
    settings = settings_of(environment())
    assert (settings.host, settings.redis_url) == ("0.0.0.0", "redis://redis:6379/0")


def test_a_file_of_keys_can_be_given() -> None:
    service = read_yaml(COMPOSE)["services"]["kakehashi"]
    assert {"KAKEHASHI_API_KEYS", "KAKEHASHI_API_KEYS_FILE"} <= service["environment"].keys()
    assert "${KEYS_DIRECTORY:-keys}:/keys:ro" in service["volumes"], "the directory, so that its file can be replaced"


def test_every_variable_of_the_file_itself_is_documented_and_no_setting() -> None:
    names = {name for name, _ in VARIABLE.findall(COMPOSE.read_text())}
    assert names == {"BIND_ADDRESS", "GRAFANA_PASSWORD", "KEYS_DIRECTORY"}
    page = (ROOT / "docs" / "deploy.md").read_text()
    assert all(f"`{name}" in page for name in names)


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_has_a_version(name: str) -> None:
    assert VERSION_TAG.fullmatch(SERVICES[name]["image"])


def test_our_image_is_built_from_a_target_that_exists() -> None:
    build = SERVICES["kakehashi"]["build"]
    assert (ROOT / build["context"] / build["dockerfile"]).is_file()
    assert build["target"] in read_stages()
    assert image_tags()[SERVICES["kakehashi"]["image"]] == build["target"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_rights_to_lose(name: str) -> None:
    service = read_yaml(COMPOSE)["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", SERVICES)
def test_memory_and_processes_of_a_service_are_limited(name: str) -> None:
    service = read_yaml(COMPOSE)["services"][name]
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert service["pids_limit"] > 0


def test_ports_are_published_on_the_loopback_interface_alone() -> None:
    found = {name: each.get("ports") for name, each in read_yaml(COMPOSE)["services"].items() if "ports" in each}
    assert found == {name: [f"${{BIND_ADDRESS:-127.0.0.1}}:{port}:{port}"] for name, port in PUBLISHED.items()}
    assert PUBLISHED["kakehashi"] == settings_of(environment()).port


@pytest.mark.parametrize("name", SERVICES)
def test_every_directory_that_is_mounted_exists(name: str) -> None:
    assert all(source.is_dir() for source in mounts(name).values())


def test_every_file_that_a_command_names_is_in_what_is_mounted() -> None:
    (config,) = [word for word in SERVICES["prometheus"]["command"] if word.startswith("--config.file=")]
    assert on_the_host("prometheus", config.removeprefix("--config.file=")).is_file()
    script = on_the_host("locust", SERVICES["locust"]["command"][1])
    assert script.is_file()
    home = read_yaml(COMPOSE)["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert on_the_host("grafana", home).is_file()


def test_the_services_find_each_other() -> None:
    jobs = {job["job_name"]: job for job in read_yaml(DEPLOY / "prometheus/prometheus.yml")["scrape_configs"]}
    assert jobs["kakehashi"]["static_configs"] == [{"targets": [f"kakehashi:{PUBLISHED['kakehashi']}"]}]
    (source,) = read_yaml(DEPLOY / "grafana/provisioning/datasources/prometheus.yml")["datasources"]
    assert source["url"] == f"http://prometheus:{PUBLISHED['prometheus']}"
    (provider,) = read_yaml(DEPLOY / "grafana/provisioning/dashboards/kakehashi.yml")["providers"]
    assert mounts("grafana")[provider["options"]["path"]] == DEPLOY / "grafana/dashboards"
    assert SERVICES["locust"]["command"][-1] == f"http://kakehashi:{PUBLISHED['kakehashi']}"


def test_the_server_may_drain_before_it_is_killed() -> None:
    settings = settings_of(environment())
    assert seconds(read_yaml(COMPOSE)["services"]["kakehashi"]["stop_grace_period"]) > settings.grace_seconds


def test_load_is_sent_only_when_asked_for() -> None:
    assert {name for name, service in SERVICES.items() if service.get("profiles")} == {"locust"}


def test_redis_forgets_what_was_used_longest_ago_and_keeps_nothing_on_disk() -> None:
    program, *arguments = read_yaml(COMPOSE)["services"]["redis"]["command"]
    assert program == "redis-server"
    with running_redis({"save": "3600 1"}, arguments=tuple(arguments)) as server:
        names = ("maxmemory", "maxmemory-policy", "save", "appendonly")
        found = [server.ask("CONFIG GET", name)[name] for name in names]
    assert found == [str(256 << 20), "allkeys-lru", "", "no"]
