"""The files that are checked, as plain data."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from service.settings import Settings, load_settings

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
RULES = sorted((DEPLOY / "prometheus/rules").glob("*.yml"))
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT: dict[str, Any] = PYPROJECT["project"]

VERSION_TAG = re.compile(r"[\w./-]+:v?\d+\.\d+\.\d+(-[\w.-]+)?")


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def settings_of(environment: Mapping[str, str]) -> Settings:
    """The settings of a server with this environment, without a developer's `.env`."""
    return load_settings(environment, env_file=Path("no-such-file"))


def image_tags() -> dict[str, str]:
    """Our images, and the target of the Dockerfile that each is built from."""
    version = PROJECT["version"]
    return {f"kakehashi:{version}": "cpu", f"kakehashi:{version}-cuda": "cuda"}


def deployed_files() -> list[Path]:
    return [
        ROOT / ".dockerignore",
        ROOT / "docker-compose.yml",
        *(path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")),
    ]


def seconds(duration: str) -> float:
    """`40s`, as compose files and Prometheus write it."""
    assert duration.endswith("s"), duration
    return float(duration[:-1])


def rules() -> Iterator[dict[str, Any]]:
    for path in RULES:
        for group in read_yaml(path)["groups"]:
            yield from group["rules"]
