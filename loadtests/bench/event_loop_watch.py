"""Measure from outside how long a server's event loop blocks."""

import http.client
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from loadtests.bench.loopback import HOST

PROBE_SECONDS = 0.02
TIME_LIMIT_SECONDS = 60.0


class EventLoopWatch:
    """Requests `/health/live` every 20 ms on its own connection; `longest_seconds` is the longest wait for an answer.

    Probes without an answer, because the server ends or has ended, do not count.
    """

    def __init__(self, port: int) -> None:
        self.longest_seconds = 0.0
        self._connection = http.client.HTTPConnection(HOST, port, timeout=TIME_LIMIT_SECONDS)
        self._is_over = Event()
        self._thread = Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while not self._is_over.is_set():
            self._probe()
            self._is_over.wait(PROBE_SECONDS)

    def _probe(self) -> None:
        began = time.monotonic()
        try:
            self._connection.request("GET", "/health/live")
            self._connection.getresponse().read()
        except TimeoutError:
            pass
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return
        self.longest_seconds = max(self.longest_seconds, time.monotonic() - began)


@contextmanager
def watched_event_loop(port: int) -> Iterator[EventLoopWatch]:
    watch = EventLoopWatch(port)
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()
