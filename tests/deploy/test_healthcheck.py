"""The image's HEALTHCHECK, run from the same file."""

import os
import subprocess
import sys

from loadtests.bench.loopback import free_port
from tests.deploy.files import DEPLOY
from tests.support.server import RunningServer


def healthcheck(port: int) -> int:
    # A proxy that is not there: it must not be asked.
    environment = os.environ | {"KAKEHASHI_PORT": str(port), "http_proxy": f"http://127.0.0.1:{free_port()}"}
    command = [sys.executable, str(DEPLOY / "docker" / "healthcheck.py")]
    return subprocess.run(command, env=environment, stderr=subprocess.DEVNULL, check=False).returncode


def test_a_server_that_answers_is_healthy(server: RunningServer) -> None:
    assert healthcheck(server.port) == 0


def test_a_port_where_nobody_listens_is_not_healthy() -> None:
    assert healthcheck(free_port()) == 1
