"""The Kubernetes files: valid by the schemas, true to each other, to the image and to the server."""

from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest

from service.settings import PREFIX, Settings
from tests.deploy.dockerfile import read_stages
from tests.deploy.files import KUBERNETES, VERSION_TAG, image_tags, read_yaml, rules, seconds, settings_of
from tests.deploy.kustomize import Resource, build
from tests.support.server import RunningServer

SCHEMAS = "1.37"
NAME = "kakehashi"
LABELS = {"app.kubernetes.io/name": NAME}
DIRECTORIES = {"base": KUBERNETES / "base", "gpu": KUBERNETES / "overlays/gpu"}
BUILT = {name: build(directory) for name, directory in DIRECTORIES.items()}
BASE = {resource["kind"]: resource for resource in BUILT["base"]}
OTHERS = {path.name: read_yaml(path) for path in KUBERNETES.glob("*.yaml")}
BUILTIN = [
    (f"{name}: {resource['kind']}", resource)
    for name, resources in [*BUILT.items(), ("beside", list(OTHERS.values()))]
    for resource in resources
    if resource["kind"] != "ServiceMonitor"  # a custom resource: the cluster's own schemas do not know it
]


def pod_of(name: str) -> dict[str, Any]:
    (deployment,) = [resource for resource in BUILT[name] if resource["kind"] == "Deployment"]
    pod: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return pod


def container_of(name: str) -> dict[str, Any]:
    (container,) = pod_of(name)["containers"]
    return dict(container)


def environment(name: str) -> dict[str, dict[str, Any]]:
    return {variable["name"]: variable for variable in container_of(name)["env"]}


@pytest.mark.parametrize(("name", "resource"), BUILTIN, ids=[name for name, _ in BUILTIN])
def test_a_resource_is_valid_by_the_schemas(name: str, resource: Resource) -> None:
    kubernetes_validate.validate(resource, SCHEMAS, strict=True)


def test_every_file_of_the_base_is_in_its_kustomization() -> None:
    files = {path.name for path in DIRECTORIES["base"].iterdir()} - {"kustomization.yaml"}
    assert files == set(read_yaml(DIRECTORIES["base"] / "kustomization.yaml")["resources"])


@pytest.mark.parametrize("name", BUILT)
def test_the_image_is_a_version_of_a_target_that_exists(name: str) -> None:
    image = container_of(name)["image"]
    assert VERSION_TAG.fullmatch(image)
    assert image_tags()[image] == {"base": "cpu", "gpu": "cuda"}[name]
    assert image_tags()[image] in read_stages()


@pytest.mark.parametrize("name", BUILT)
def test_every_variable_is_a_setting(name: str) -> None:
    given = environment(name)
    assert {each.removeprefix(PREFIX).lower() for each in given} <= Settings.model_fields.keys()
    settings_of({each: variable["value"] for each, variable in given.items() if "value" in variable})
    # Kubernetes would add KAKEHASHI_SERVICE_HOST and the like, for the Service's name; unknown settings stop the start.
    assert pod_of(name)["enableServiceLinks"] is False


def test_on_a_cpu_there_is_a_worker_a_core_of_the_limit() -> None:
    source = environment("base")["KAKEHASHI_WORKERS"]["valueFrom"]["resourceFieldRef"]
    assert source == {"containerName": NAME, "resource": "limits.cpu", "divisor": "1"}
    assert container_of("base")["resources"]["limits"]["cpu"].isdecimal()


def test_on_a_gpu_there_is_a_worker_a_gpu() -> None:
    assert {resource["kind"] for resource in BUILT["gpu"]} == BASE.keys()
    assert environment("gpu")["KAKEHASHI_WORKERS"] == {"name": "KAKEHASHI_WORKERS", "value": "auto"}
    assert environment("gpu")["KAKEHASHI_DEVICE"]["value"] == "cuda"
    resources = container_of("gpu")["resources"]
    assert resources["limits"]["nvidia.com/gpu"] == resources["requests"]["nvidia.com/gpu"] == "1"


@pytest.mark.parametrize("name", BUILT)
def test_a_pod_may_do_what_the_restricted_profile_allows(name: str) -> None:
    pod, own = pod_of(name)["securityContext"], container_of(name)["securityContext"]
    user, group = map(int, read_stages()[image_tags()[container_of(name)["image"]]].last("USER").split(":"))
    assert (pod["runAsNonRoot"], pod["runAsUser"], pod["runAsGroup"], pod["fsGroup"]) == (True, user, group, group)
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert pod_of(name)["automountServiceAccountToken"] is False


@pytest.mark.parametrize("name", BUILT)
def test_what_the_image_writes_to_is_a_volume(name: str) -> None:
    image = read_stages()[image_tags()[container_of(name)["image"]]].environment()
    mounted = {mount["mountPath"]: mount["name"] for mount in container_of(name)["volumeMounts"]}
    assert {image["HOME"], image["HF_HOME"]} == mounted.keys()
    volumes = {volume["name"]: volume for volume in pod_of(name)["volumes"]}
    assert all("emptyDir" in volumes[volume] for volume in mounted.values())


@pytest.mark.parametrize("name", BUILT)
def test_a_pod_may_drain_before_it_is_killed(name: str) -> None:
    grace = float(environment(name)["KAKEHASHI_GRACE_SECONDS"]["value"])
    hook = container_of(name)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod_of(name)["terminationGracePeriodSeconds"] > grace + hook


@pytest.mark.parametrize(
    ("probe", "path"),
    [("startupProbe", "/health/live"), ("livenessProbe", "/health/live"), ("readinessProbe", "/health/ready")],
)
def test_a_probe_asks_what_the_server_answers(server: RunningServer, probe: str, path: str) -> None:
    assert container_of("base")[probe]["httpGet"] == {"path": path, "port": "http"}
    assert server.client.get(path).status_code == 200


def test_the_port_is_the_images_and_goes_by_its_name() -> None:
    (port,) = container_of("base")["ports"]
    assert port == {"name": "http", "containerPort": int(read_stages()["cpu"].last("EXPOSE"))}
    (service_port,) = BASE["Service"]["spec"]["ports"]
    assert (service_port["name"], service_port["targetPort"]) == ("http", "http")
    (ingress,) = BASE["NetworkPolicy"]["spec"]["ingress"]
    assert [allowed["port"] for allowed in ingress["ports"]] == ["http"]


def test_all_select_the_same_pods() -> None:
    assert BASE["Deployment"]["spec"]["template"]["metadata"]["labels"] == LABELS
    assert BASE["Service"]["spec"]["selector"] == LABELS
    assert BASE["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == LABELS
    for kind in ("Deployment", "PodDisruptionBudget", "ServiceMonitor"):
        assert BASE[kind]["spec"]["selector"]["matchLabels"] == LABELS
    assert all(resource["metadata"] == {"name": NAME, "labels": LABELS} for resource in BUILT["base"])


def test_the_autoscaler_adds_pods_before_one_refuses_requests() -> None:
    spec = BASE["HorizontalPodAutoscaler"]["spec"]
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME}
    assert "replicas" not in BASE["Deployment"]["spec"]
    (metric,) = spec["metrics"]
    assert int(metric["pods"]["target"]["averageValue"]) < Settings.model_fields["max_queue_tokens"].default / 2
    assert spec["minReplicas"] > BASE["PodDisruptionBudget"]["spec"]["maxUnavailable"]


def test_the_service_monitor_scrapes_what_is_there(server: RunningServer) -> None:
    """Checked by hand, because the schema is the Prometheus Operator's."""
    monitor = BASE["ServiceMonitor"]
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    assert monitor["spec"].keys() == {"selector", "endpoints"}
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint.keys() == {"port", "path", "interval", "scrapeTimeout"}
    assert endpoint["port"] in {port["name"] for port in BASE["Service"]["spec"]["ports"]}
    assert seconds(endpoint["scrapeTimeout"]) <= seconds(endpoint["interval"])
    assert server.client.get(endpoint["path"]).status_code == 200


def test_the_rules_know_the_job_by_the_services_name() -> None:
    assert any(f'job="{BASE["Service"]["metadata"]["name"]}"' in rule["expr"] for rule in rules())


def test_the_redis_url_is_in_a_secret_of_which_there_is_an_example_only() -> None:
    source = environment("base")["KAKEHASHI_REDIS_URL"]["valueFrom"]["secretKeyRef"]
    secret = OTHERS["redis-secret.example.yaml"]
    assert (source["name"], source["key"]) == (secret["metadata"]["name"], *secret["stringData"])
    url = urlsplit(secret["stringData"]["url"])
    assert (url.scheme, url.port) == ("redis", 6379)
    assert url.hostname is not None
    assert url.hostname.endswith(".invalid")
    assert "Secret" not in BASE


def test_redis_may_be_reached() -> None:
    ports = [rule["ports"] for rule in BASE["NetworkPolicy"]["spec"]["egress"]]
    assert [{"port": 6379, "protocol": "TCP"}] in ports
