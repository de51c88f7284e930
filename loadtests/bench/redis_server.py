"""A Redis of the benchmark's own on a free port of the loopback interface, which keeps nothing on disk."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import redis

from loadtests.bench.running_server import HOST, POLL_SECONDS, free_port

START_SECONDS = 10.0


@contextmanager
def running_redis() -> Iterator[str]:
    """Its URL. Raises SystemExit where it is not installed or does not answer."""
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit(
            "redis-server is not on PATH; install it (`apt-get install redis-server`), or leave it out: --tiers memory"
        )
    port = free_port()
    with TemporaryDirectory(prefix="redis-") as directory:
        command = [program, "--bind", HOST, "--port", str(port), "--dir", directory, "--save", "", "--appendonly", "no"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
            try:
                _wait_answering(process, port)
                yield f"redis://{HOST}:{port}"
            finally:
                process.kill()  # there is nothing to save


def _wait_answering(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    with redis.Redis(host=HOST, port=port) as client:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise SystemExit(f"redis-server ended with status {process.returncode}")
            try:
                client.ping()
            except redis.ConnectionError:
                time.sleep(POLL_SECONDS)
            else:
                return
    raise SystemExit(f"redis-server did not answer within {START_SECONDS:g} s")
