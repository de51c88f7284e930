"""`deploy/install.sh` takes torch without CUDA from its index, unless pip has other sources or cannot reach it."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INDEX = "https://index.test/cpu"
FAKE_PYTHON = """#!/bin/sh
case "$*" in
    "-m pip config list") printf '%s\\n' "$PIP_CONFIGURATION" ;;
    "-m pip install"*) echo "$*" >>"$LOG"
        case "$*" in *--index-url*) exit "$INDEX_FAILS" ;; esac ;;
    *importlib.metadata*) test "$INSTALLED" = yes ;;
    *urllib.request*) echo "asked" >>"$LOG"; test "$REACHED" = yes ;;
    *) echo "unexpected: $*" >&2; exit 9 ;;
esac
"""
FROM_INDEX = f"-m pip install --quiet --no-deps --index-url {INDEX} torch==2.13.0"
THE_REST = "-m pip install --quiet --constraint deploy/constraints.txt --editable .[test,bench,evaluate]"


@dataclass(frozen=True, slots=True)
class Installation:
    """A checkout with a Python whose pip only takes notes."""

    directory: Path
    is_installed: bool = False
    is_reached: bool = True
    has_torch: bool = True
    """The index."""
    configuration: str = ":env:.disable-pip-version-check='1'"
    index: str = INDEX
    calls: list[str] = field(default_factory=list)

    def run(self) -> str:
        """Run the script and return its output; `calls` records its requests and calls of pip."""
        for name in ("bin", "deploy"):
            (self.directory / name).mkdir()
        shutil.copy(ROOT / "deploy" / "install.sh", self.directory / "deploy")
        (self.directory / "deploy" / "constraints.txt").write_text("# The releases.\ntorch==2.13.0\n")
        python = self.directory / "bin" / "python"
        python.write_text(FAKE_PYTHON)
        python.chmod(0o755)
        log = self.directory / "log"
        environment = {
            "PATH": os.environ["PATH"],
            "LOG": str(log),
            "INSTALLED": "yes" if self.is_installed else "no",
            "REACHED": "yes" if self.is_reached else "no",
            "INDEX_FAILS": "0" if self.has_torch else "1",
            "PIP_CONFIGURATION": self.configuration,
        }
        done = subprocess.run(
            [self.directory / "deploy" / "install.sh", python, self.index],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        self.calls.extend(log.read_text().splitlines())
        return done.stdout


def test_torch_comes_from_the_index_that_has_it_without_cuda(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    said = installation.run()
    assert installation.calls == ["asked", FROM_INDEX, THE_REST]
    assert said == f"Downloading torch==2.13.0 without CUDA from {INDEX}, and the other packages in pyproject.toml.\n"


@pytest.mark.parametrize(
    "setting",
    [
        ":env:.find-links='/opt/wheels'",
        "global.index-url='https://mirror.test/simple'",
        "user.extra-index-url='file:///opt/simple'",
        ":env:.no-index='1'",
    ],
)
def test_a_pip_with_sources_of_its_own_is_left_alone(setting: str, tmp_path: Path) -> None:
    installation = Installation(tmp_path, configuration=f"global.timeout='9'\n{setting}")
    said = installation.run()
    assert installation.calls == [THE_REST]
    assert said.startswith("Downloading the packages in pyproject.toml, including torch==2.13.0, from pip's sources")


def test_without_a_way_to_the_index_pip_finds_torch_where_it_can(tmp_path: Path) -> None:
    installation = Installation(tmp_path, is_reached=False)
    said = installation.run()
    assert installation.calls == ["asked", THE_REST]
    assert said.count("\n") == 1


def test_an_empty_index_is_not_asked(tmp_path: Path) -> None:
    installation = Installation(tmp_path, index="")
    installation.run()
    assert installation.calls == [THE_REST]


def test_torch_that_is_there_is_kept(tmp_path: Path) -> None:
    installation = Installation(tmp_path, is_installed=True)
    said = installation.run()
    assert installation.calls == [THE_REST]
    assert "torch==2.13.0 is already installed" in said


def test_an_index_without_this_torch_is_named_and_the_rest_installed(tmp_path: Path) -> None:
    installation = Installation(tmp_path, has_torch=False)
    said = installation.run()
    assert installation.calls == ["asked", FROM_INDEX, THE_REST]
    assert f"{INDEX} has no torch==2.13.0 for this machine" in said


def test_the_image_takes_torch_from_the_same_index() -> None:
    (index,) = re.findall(r"^TORCH_INDEX \?= (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert f"--index-url {index} " in (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
