"""The command `kakehashi` as a process, isolated from a developer's `.env`, variables and proxies."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from loadtests.bench.loopback import TIME_LIMIT_SECONDS

_LEFT_OUT = ("KAKEHASHI_", "OTEL_")


def start(*arguments: object, directory: Path, settings: Mapping[str, str] | None = None) -> "subprocess.Popen[bytes]":
    """Start the command with pipes to all three standard streams."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_LEFT_OUT) and not name.lower().endswith("_proxy")
    }
    return subprocess.Popen(
        # A shell without job control lets what it runs in the background ignore SIGINT, tests included.
        ["env", "--default-signal=INT", sys.executable, "-m", "service.cli", *map(str, arguments)],
        cwd=directory,
        env=environment | {"HF_HUB_OFFLINE": "1"} | dict(settings or {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run(
    *arguments: object, directory: Path, given: bytes = b"", settings: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[bytes]":
    """Run the command to its end, with `given` as its standard input."""
    with start(*arguments, directory=directory, settings=settings) as process:
        output, errors = process.communicate(given, timeout=TIME_LIMIT_SECONDS)
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)
