"""Every block marked `run: server` runs, and prints the output shown in the block after it.

Texts depend on the machine's compute type, so the fields of JSON are compared, and the number of lines of plain text.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loadtests.bench.loopback import TIME_LIMIT_SECONDS
from tests.support.markdown import PAGES, Block
from tests.support.server import RunningServer, running_server

DOCUMENTED_ADDRESS = "localhost:8000"
BLOCKS = [block for page in PAGES for block in page.blocks]
RUNNABLE = [block for block in BLOCKS if block.mark == "run: server"]
RUNNERS = {
    "sh": ("bash", "-euo", "pipefail", "-c"),
    "python": (sys.executable, "-c"),
    "javascript": ("node", "--input-type=module", "-e"),
}
EVENT = re.compile(r"^event: (\w+)\ndata: (.*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("docs"), {"WORKERS": 1}) as server:
        yield server


def test_every_command_that_asks_a_server_is_marked() -> None:
    asking = [
        block
        for block in BLOCKS
        if block.language == "sh"
        and (f"curl -s {DOCUMENTED_ADDRESS}" in block.text or f"--url {DOCUMENTED_ADDRESS}" in block.text)
    ]
    assert asking
    assert [str(block) for block in asking if block not in RUNNABLE] == []


def with_marks(block: Block) -> Any:
    return pytest.param(
        block, id=str(block), marks=[pytest.mark.needs("node")] if block.language == "javascript" else []
    )


@pytest.mark.parametrize("block", [with_marks(block) for block in RUNNABLE])
def test_a_command_prints_what_its_page_shows(block: Block, server: RunningServer, tmp_path: Path) -> None:
    assert DOCUMENTED_ADDRESS in block.text
    done = subprocess.run(
        [*RUNNERS[block.language], block.text.replace(DOCUMENTED_ADDRESS, f"127.0.0.1:{server.port}")],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if "event: " in done.stdout:
        shown, printed = _events(block.example), _events(done.stdout)
        assert list(printed) == ["start", "token", "translation", "done"]
        assert all(_shape(data) == _shape(printed[name]) for name, data in shown.items())
    elif not block.example:
        assert done.stdout
        assert "urn:kakehashi:problem" not in done.stdout
    elif not block.example.startswith("{"):
        assert len(done.stdout.splitlines()) == len(block.example.splitlines())
    else:
        shown, printed = json.loads(block.example), json.loads(done.stdout)
        if "title" in shown:
            assert printed | {"request_id": ""} == shown | {"request_id": ""}
        else:
            assert _shape(printed) == _shape(shown)


def _events(text: str) -> dict[str, Any]:
    """The first event of each name, in order."""
    found: dict[str, Any] = {}
    for name, data in EVENT.findall(text):
        found.setdefault(name, json.loads(data))
    return found


def _shape(value: Any) -> Any:
    """The names of the fields; numbers and texts depend on the machine's compute type."""
    if isinstance(value, dict):
        return {name: _shape(each) for name, each in value.items()}
    return [_shape(each) for each in value] if isinstance(value, list) else type(value)
