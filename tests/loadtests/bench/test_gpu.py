"""The benchmark for GPUs runs end to end in its tiny form on a CPU, with no more packages than a GPU's image has."""

import json
import os
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path

import pytest

from loadtests.bench.gpu import command

ROOT = Path(__file__).parents[3]
MISSING = (
    *("ctranslate2", "dotenv", "fastapi", "hiredis", "langcodes", "msgspec", "opentelemetry", "polib"),
    *("py3langid", "pydantic", "python_multipart", "redis", "sentencex", "srt", "starlette", "turbohtml", "uvicorn"),
)
HIDE = """
from importlib.machinery import PathFinder
find_spec = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name.partition(".")[0] in {missing} else find_spec(name, *rest)
"""


def test_tiny_run_holds_what_must_hold_without_the_packages_of_the_server(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(HIDE.format(missing=set(MISSING)))
    done = subprocess.run(
        [sys.executable, "-m", "loadtests.bench", "gpu", "--device", "cpu", "--output", tmp_path],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    parts = json.loads((tmp_path / "report.json").read_text())["parts"]
    assert [part["problem"] for part in parts[:-1]] == ["", "", "", ""]
    assert parts[-1]["problem"].startswith("packages of the server are missing: fastapi, uvicorn")
    assert all(check["holds"] for part in parts for check in part["checks"])
    assert "| tiny | 4 |" in (tmp_path / "report.md").read_text()


def test_part_that_fails_is_reported_and_the_others_run(tmp_path: Path) -> None:
    parser = ArgumentParser()
    command.add_arguments(parser)
    flags = ["--device", "cpu", "--output", str(tmp_path), "--max-seconds", "0", "--parts", "pace", "served"]
    with pytest.raises(SystemExit, match="missed"):
        command.run(parser.parse_args(flags))
    page = (tmp_path / "report.md").read_text()
    assert "| the part runs to its end | **missed** |" in page
    assert "## A served load" in page
