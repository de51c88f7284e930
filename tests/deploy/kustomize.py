"""The parts of `kubectl kustomize` that our files use: resources, and JSON patches of one target."""

from pathlib import Path
from typing import Any

import jsonpatch

from tests.deploy.files import read_yaml

Resource = dict[str, Any]


def build(directory: Path) -> list[Resource]:
    kustomization = read_yaml(directory / "kustomization.yaml")
    assert kustomization.keys() <= {"apiVersion", "kind", "resources", "patches"}
    resources: list[Resource] = []
    for name in kustomization["resources"]:
        path = directory / name
        resources += build(path) if path.is_dir() else [read_yaml(path)]
    for patch in kustomization.get("patches", ()):
        (index,) = [i for i, resource in enumerate(resources) if _is_target(resource, patch["target"])]
        resources[index] = jsonpatch.apply_patch(resources[index], read_yaml(directory / patch["path"]))
    return resources


def _is_target(resource: Resource, target: dict[str, str]) -> bool:
    return (resource["kind"], resource["metadata"]["name"]) == (target["kind"], target["name"])
