"""The configurations of Serve and KubeRay, and the image that they name."""

import shutil
import subprocess
import sys
from typing import Any

import kubernetes_validate
import pytest
import yaml

from deploy.ray.arguments import Arguments
from service.settings import Settings
from tests.deploy.files import DEPLOY, PROJECT, ROOT, VERSION_TAG, read_yaml
from tests.deploy.test_kubernetes import BASE, SCHEMAS, container_of, pod_of

RAY = DEPLOY / "ray"
(RAY_VERSION,) = (each.partition("==")[2] for each in PROJECT["optional-dependencies"]["ray"] if "==" in each)
SERVICE, POLICY, HEAD_POLICY = yaml.safe_load_all((RAY / "rayservice.yaml").read_text())
CLUSTER = SERVICE["spec"]["rayClusterConfig"]
GROUPS = [CLUSTER["headGroupSpec"], *CLUSTER["workerGroupSpecs"]]
CONFIGURATIONS = {
    "serve.yaml": read_yaml(RAY / "serve.yaml"),
    "rayservice.yaml": yaml.safe_load(SERVICE["spec"]["serveConfigV2"]),
}


@pytest.mark.parametrize("configuration", CONFIGURATIONS.values(), ids=list(CONFIGURATIONS))
def test_a_configuration_builds_our_app_with_arguments_that_exist(
    configuration: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    (app,) = configuration["applications"]
    assert app["import_path"] == "deploy.ray.app:build"
    assert (RAY / "app.py").exists()
    assert Arguments.model_validate(app["args"]).read_checkpoints()


def test_the_images_and_ray_are_pinned_to_our_versions() -> None:
    images = {container["image"] for group in GROUPS for container in group["template"]["spec"]["containers"]}
    assert images == {f"kakehashi-ray:{PROJECT['version']}"}
    assert all(map(VERSION_TAG.fullmatch, images))
    assert CLUSTER["rayVersion"] == RAY_VERSION
    assert f"ARG RAY_VERSION={RAY_VERSION}\n" in (RAY / "Dockerfile").read_text()
    (python,) = (
        each for each in (DEPLOY / "docker" / "Dockerfile").read_text().splitlines() if "PYTHON_IMAGE=" in each
    )
    assert python in (RAY / "Dockerfile").read_text()


def test_a_node_waits_for_what_runs_on_it() -> None:
    limits = Settings.model_fields
    longest = limits["timeout_seconds"].default + limits["grace_seconds"].default
    (workers,) = CLUSTER["workerGroupSpecs"]
    assert workers["template"]["spec"]["terminationGracePeriodSeconds"] > longest


def test_replicas_fit_their_nodes() -> None:
    (app,) = CONFIGURATIONS["rayservice.yaml"]["applications"]
    arguments = Arguments.model_validate(app["args"])
    (workers,) = CLUSTER["workerGroupSpecs"]
    (container,) = workers["template"]["spec"]["containers"]
    assert arguments.num_cpus + arguments.ingress_num_cpus <= int(container["resources"]["limits"]["cpu"])
    assert arguments.max_replicas <= workers["maxReplicas"]


def test_the_http_port_is_open_to_those_to_whom_the_base_is() -> None:
    outside, inside = POLICY["spec"]["ingress"]
    http = CONFIGURATIONS["rayservice.yaml"]["http_options"]["port"]
    (base,) = BASE["NetworkPolicy"]["spec"]["ingress"]
    assert outside == {"from": base["from"], "ports": [{"port": http, "protocol": "TCP"}]}
    assert all(peer.keys() == {"podSelector"} for peer in inside["from"]), "pods of the same namespace"
    assert POLICY["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert all("to" in rule for rule in POLICY["spec"]["egress"])


@pytest.mark.parametrize("policy", [POLICY, HEAD_POLICY], ids=lambda policy: policy["metadata"]["name"])
def test_a_policy_is_valid_by_the_schemas(policy: dict[str, Any]) -> None:
    kubernetes_validate.validate(policy, SCHEMAS, strict=True)


@pytest.mark.parametrize("group", GROUPS, ids=["head", "workers"])
def test_a_node_is_a_valid_pod_as_hardened_as_the_base(group: dict[str, Any]) -> None:
    pod, base = group["template"]["spec"], pod_of("base")
    (container,) = pod["containers"]
    kubernetes_validate.validate(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "node"}, "spec": pod}, SCHEMAS, strict=True
    )
    for name in ("automountServiceAccountToken", "enableServiceLinks", "securityContext"):
        assert pod[name] == base[name]
    assert container["securityContext"] == container_of("base")["securityContext"]
    assert container["resources"].keys() == {"requests", "limits"}
    assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_only_the_autoscaler_has_a_token() -> None:
    options = CLUSTER["autoscalerOptions"]
    assert options["securityContext"] == container_of("base")["securityContext"]
    assert options["resources"].keys() == {"requests", "limits"}
    mounts = [mount["name"] for group in GROUPS for mount in group["template"]["spec"]["containers"][0]["volumeMounts"]]
    assert "token" not in mounts
    assert "token" in {mount["name"] for mount in options["volumeMounts"]}


def test_hadolint_finds_nothing_in_the_image() -> None:
    hadolint = shutil.which("hadolint", path=str(sys.prefix) + "/bin")
    assert hadolint is not None
    done = subprocess.run([hadolint, RAY / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
