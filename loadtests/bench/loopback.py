"""Free ports of the loopback interface, and waiting for a condition."""

import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

HOST = "127.0.0.1"
TIME_LIMIT_SECONDS = 120.0
POLL_SECONDS = 0.02
PORTS = range(20_000, 32_000)
"""Below the ports of outgoing connections, one of which might take a port before the server that it was chosen for."""

T = TypeVar("T")


def free_port() -> int:
    while True:
        port = secrets.choice(PORTS)
        with suppress(OSError), socket.create_server((HOST, port)):
            return port


def wait_until(condition: Callable[[], T], what: str, *, limit_seconds: float = TIME_LIMIT_SECONDS) -> T:
    """Poll `condition` and return its first true value. Raises TimeoutError, which names `what`, after the limit."""
    deadline = time.monotonic() + limit_seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {limit_seconds:g} s for this: {what}")
        time.sleep(POLL_SECONDS)
    return value
