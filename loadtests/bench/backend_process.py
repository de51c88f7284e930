"""One side in a process of its own, which sleeps until it receives work.

So libraries do not share threads, allocators or environments, and all other sides are idle while one is timed.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing.connection import Pipe
from typing import Self

from loadtests.bench.sides import BackendSpec
from loadtests.bench.work import TimedTargets, Work
from service.engine.fork_server_process import ALLOCATOR_OPTIONS

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class BackendProcess:
    """Every method raises RuntimeError if the process has ended."""

    def __init__(self, spec: BackendSpec) -> None:
        """Start loading the engine; `wait_loaded` waits for it."""
        self._name = spec.side.name
        self._connection, theirs = Pipe()
        variables = dict.fromkeys(THREAD_VARIABLES, str(spec.shape.num_threads))
        command = [sys.executable, "-m", "loadtests.bench.child", str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(
                command, env={**os.environ, **variables, **ALLOCATOR_OPTIONS}, pass_fds=[theirs.fileno()]
            )
        self._connection.send(spec)

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_loaded(self) -> None:
        self._receive()

    def send(self, works: Sequence[Work]) -> None:
        self._connection.send(works)

    def receive(self) -> TimedTargets:
        answer = self._receive()
        assert isinstance(answer, TimedTargets)
        return answer

    def _receive(self) -> object:
        try:
            return self._connection.recv()
        except EOFError:
            raise RuntimeError(f"the process of {self._name} ended with status {self._process.wait()}") from None

    def close(self) -> None:
        """End the process, even in the middle of work."""
        self._connection.close()
        self._process.terminate()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
