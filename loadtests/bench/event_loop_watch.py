"""Measure from outside how long a server's event loop blocks.

On a busy machine both the server and this process wait for a core. Linux knows for how long, and that does not count:
the waits of the event loop and of the prober, and of threads that may hold the lock of their interpreter meanwhile.
"""

import http.client
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from loadtests.bench.loopback import HOST

PROBE_SECONDS = 0.02
TIME_LIMIT_SECONDS = 60.0
OWN_THREADS = (Path("/proc/thread-self/schedstat"), Path("/proc/self/schedstat"))


class EventLoopWatch:
    """Requests `/health/live` every 20 ms on its own connection; `longest_seconds` is the longest wait for an answer.

    Probes without an answer, because the server ends or has ended, do not count. `pid` is the server's process.
    """

    def __init__(self, port: int, *, pid: int) -> None:
        self.longest_seconds = 0.0
        self._server_threads = Path(f"/proc/{pid}/task")
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
        delayed = self._delay_seconds()
        try:
            self._connection.request("GET", "/health/live")
            self._connection.getresponse().read()
        except TimeoutError:
            pass
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return
        delayed = max(0.0, self._delay_seconds() - delayed)  # less than none if a thread has ended
        self.longest_seconds = max(self.longest_seconds, time.monotonic() - began - delayed)

    def _delay_seconds(self) -> float:
        """The time for which the server's threads, this one and the first one here have waited for a core so far."""
        return sum(map(_delay_of, (*self._server_threads.glob("*/schedstat"), *OWN_THREADS)))


@contextmanager
def watched_event_loop(port: int, *, pid: int) -> Iterator[EventLoopWatch]:
    watch = EventLoopWatch(port, pid=pid)
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()


def _delay_of(schedule: Path) -> float:
    """The second number of a thread's schedstat; 0 where Linux keeps none, or the thread has ended."""
    try:
        return int(schedule.read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0
