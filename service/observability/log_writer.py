"""Writes the log without blocking the code that logs: a pipe that nobody reads must not stop the server."""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

MAX_PENDING_BYTES = 4 << 20
FLUSH_SECONDS = 1.0


class LogWriter(logging.Handler):
    """Formats records in the thread that logs them, and writes them to `descriptor` in a thread of its own.

    Records that would exceed MAX_PENDING_BYTES are dropped and counted. Once writing resumes, a line gives the number.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._observe_drop: Callable[[], None] = _ignore
        self._pending: deque[bytes] = deque()
        self._num_pending_bytes = 0
        self._num_dropped = 0
        self._thread: threading.Thread | None = None
        self._news = threading.Condition()
        os.register_at_fork(after_in_child=self._begin)  # a fork does not copy the thread

    def observe_drops(self, observe_drop: Callable[[], None]) -> None:
        """Call `observe_drop` for each record that is dropped from now on."""
        self._observe_drop = observe_drop

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record).encode(errors="backslashreplace") + b"\n"
        except Exception:  # as the handlers of the standard library do
            self.handleError(record)
            return
        with self._news:
            if self._num_pending_bytes + len(line) > MAX_PENDING_BYTES:
                self._num_dropped += 1
                self._observe_drop()
                return
            self._append(line)
            if self._thread is None:
                self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
                self._thread.start()

    def flush(self) -> None:
        """Wait until everything is written, for at most FLUSH_SECONDS. Called when the process exits."""
        end = time.monotonic() + FLUSH_SECONDS
        with self._news:
            self._news.wait_for(lambda: not self._num_pending_bytes, max(0.0, end - time.monotonic()))

    def _begin(self) -> None:
        self._pending.clear()
        self._num_pending_bytes = self._num_dropped = 0
        self._thread, self._news = None, threading.Condition()

    def _append(self, line: bytes) -> None:
        self._pending.append(line)
        self._num_pending_bytes += len(line)
        self._news.notify_all()

    def _write_all(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._pending)
                line = self._pending.popleft()
            self._write(line)
            with self._news:
                self._num_pending_bytes -= len(line)
                if self._num_dropped:
                    self._append(self._drop_line())
                self._news.notify_all()

    def _drop_line(self) -> bytes:
        number, self._num_dropped = self._num_dropped, 0
        message = "%d lines of the log were dropped here: standard error was not read fast enough"
        record = logging.LogRecord(__name__, logging.WARNING, __file__, 0, message, (number,), None)
        return self.format(record).encode() + b"\n"

    def _write(self, line: bytes) -> None:
        """Write past the buffers of `sys.stderr`, whose lock would delay the exit of the process."""
        with suppress(OSError):  # the reader is gone
            while line:
                line = line[os.write(self._descriptor, line) :]


def _ignore() -> None:
    pass
