"""Free ports of the loopback interface, and waiting for a condition."""

import socket
import time
from collections.abc import Callable
from typing import TypeVar

HOST = "127.0.0.1"
TIME_LIMIT_SECONDS = 120.0
POLL_SECONDS = 0.02

T = TypeVar("T")


def free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], T], what: str, *, limit_seconds: float = TIME_LIMIT_SECONDS) -> T:
    """Poll `condition` and return its first true value. Raises TimeoutError, which names `what`, after the limit."""
    deadline = time.monotonic() + limit_seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {limit_seconds:g} s for this: {what}")
        time.sleep(POLL_SECONDS)
    return value
