"""The Dockerfile, as far as it can be checked where no image is built."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from service.settings import Settings
from tests.deploy.dockerfile import DOCKERFILE, copied_paths, exec_form, is_let_through, read_stages
from tests.deploy.files import PROJECT, PYPROJECT, ROOT, VERSION_TAG, image_tags, settings_of

STAGES = read_stages()
TARGETS = sorted(set(image_tags().values()))
COMPILER = re.compile(r"\b(g\+\+|gcc|clang|build-essential|cmake|make|cargo|python3?-dev)(?![\w.])")


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert hadolint is not None
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_all_stages_stand_on_one_pinned_image_of_our_python() -> None:
    (image,) = {stage.image for stage in STAGES.values()}
    assert VERSION_TAG.fullmatch(image)
    python = image.removeprefix("python:").partition("-")[0]
    assert python in SpecifierSet(PROJECT["requires-python"])


@pytest.mark.parametrize("path", copied_paths())
def test_what_is_copied_exists_and_is_let_through(path: str) -> None:
    assert (ROOT / path).exists()
    assert is_let_through(path)


def test_all_that_the_wheel_is_built_from_is_copied() -> None:
    packages = {pattern.rstrip("*") for pattern in PYPROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert {"pyproject.toml", PROJECT["readme"], *PROJECT["license-files"], *packages} <= set(copied_paths())


@pytest.mark.parametrize("target", TARGETS)
def test_no_compiler_is_in_an_image_that_runs_except_for_tritons(target: str) -> None:
    compilers = COMPILER.findall(" ".join(STAGES[target].values("RUN")))
    assert compilers == (["gcc"] if target == "cuda" else [])
    copies = [value for value in STAGES[target].values("COPY") if value.startswith("--from=")]
    assert copies == [f"--from=venv-{target} /opt/venv /opt/venv"]
    assert COMPILER.search(" ".join(STAGES["wheel"].values("RUN")))


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_as_nobody_in_particular(target: str) -> None:
    stage = STAGES[target]
    user, group = stage.last("USER").split(":")
    assert int(user) > 0
    assert f"useradd --uid {user} --gid {group} " in " ".join(stage.values("RUN"))
    assert f"install --directory --owner {user} --group {group} {stage.environment()['HF_HOME']}" in (
        " ".join(stage.values("RUN"))
    )


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_has_what_its_kernels_need(target: str) -> None:
    assert "libgomp1" in " ".join(STAGES[target].values("RUN"))


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_serves_by_settings_that_exist(target: str) -> None:
    stage = STAGES[target]
    settings = settings_of(stage.environment())
    assert (settings.host, settings.port) == ("0.0.0.0", int(stage.last("EXPOSE")))
    assert stage.last("STOPSIGNAL") == "SIGTERM"
    command = [*exec_form(stage.last("ENTRYPOINT")), *exec_form(stage.last("CMD"))]
    assert command[:2] == ["tini", "--"]
    assert command[2] in PROJECT["scripts"]
    assert command[3:] == ["serve"]


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_asks_for_its_health_with_a_file_that_it_has(target: str) -> None:
    stage = STAGES[target]
    script = exec_form(stage.last("HEALTHCHECK"))[-1]
    assert f"deploy/docker/healthcheck.py {script}" in stage.values("COPY")


@pytest.mark.parametrize("target", TARGETS)
def test_torch_is_the_one_that_the_project_names(target: str) -> None:
    (version,) = {
        value.removeprefix("TORCH_VERSION=")
        for value in STAGES[f"venv-{target}"].values("ARG")
        if value.startswith("TORCH_VERSION=")
    }
    assert f"torch=={version}" in (ROOT / "deploy" / "constraints.txt").read_text().splitlines()


def test_the_longest_drain_is_the_one_that_the_dockerfile_speaks_of() -> None:
    assert f"for KAKEHASHI_GRACE_SECONDS, {Settings.model_fields['grace_seconds'].default:g} by default" in (
        DOCKERFILE.read_text()
    )
