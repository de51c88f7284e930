"""A server for a benchmark, and the CPU time and memory of its processes."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from loadtests.bench.loopback import free_port, wait_until
from loadtests.bench.server_process import PORT_VARIABLE, ServerProcess

ROOT = Path(__file__).parents[2]
START_SECONDS = 300.0
NO_LOG = Path(os.devnull)
"""The servers of benchmarks log to the terminal."""


@dataclass(frozen=True, slots=True)
class CpuSeconds:
    """User and system time of this process, the service process, all workers, and the whole machine."""

    generator: float
    service: float
    workers: float
    machine: float

    @property
    def others(self) -> float:
        """The time of all other processes: if it is large, the measurements are disturbed."""
        return max(0.0, self.machine - self.generator - self.service - self.workers)

    def since(self, before: "CpuSeconds") -> "CpuSeconds":
        return CpuSeconds(
            self.generator - before.generator,
            self.service - before.service,
            self.workers - before.workers,
            self.machine - before.machine,
        )


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """Bytes. `pss` divides shared pages among their processes; `uss` would be freed if this process ended."""

    name: str
    rss: int
    pss: int
    uss: int


@dataclass(frozen=True, slots=True)
class ServedCheckpoint:
    """A checkpoint in `GET /v1/models`; `kv_bytes` and `max_rows` are those of a worker."""

    name: str
    num_parameters: int
    compute_type: str
    device: str
    workers: int
    max_rows: int
    kv_bytes: int
    max_new_tokens: int


class BenchServer(ServerProcess):
    def __init__(
        self, process: subprocess.Popen[bytes], *, port: int, log_path: Path = NO_LOG, ready_seconds: float
    ) -> None:
        """The server is ready, and has the workers that it keeps."""
        super().__init__(process, port=port, log_path=log_path)
        self.ready_seconds = ready_seconds
        self._service = psutil.Process(process.pid)
        self._workers = self.workers()

    def let_workers_yield(self) -> None:
        """If this process has real-time priority, give the workers one less.

        Processes with equal ones do not preempt each other, so two workers on two cores would stop the service.
        """
        if os.sched_getscheduler(0) == os.SCHED_FIFO:
            lower = os.sched_param(os.sched_getparam(0).sched_priority - 1)
            for worker in self._workers:
                os.sched_setscheduler(worker.pid, os.SCHED_FIFO, lower)

    def checkpoint(self) -> ServedCheckpoint:
        """The first checkpoint, if several are served."""
        model = self.models()[0]
        return ServedCheckpoint(
            name=model["id"],
            num_parameters=model["num_parameters"],
            compute_type=model["compute_type"],
            device=model["device"],
            workers=model["workers"],
            max_rows=model["max_rows"],
            kv_bytes=model["kv_bytes"],
            max_new_tokens=model["max_new_tokens"],
        )

    def cpu_seconds(self) -> CpuSeconds:
        return CpuSeconds(
            generator=time.process_time(),
            service=cpu_seconds(self._service),
            workers=sum(map(cpu_seconds, self._workers)),
            machine=machine_cpu_seconds(),
        )

    def memory(self) -> list[ProcessMemory]:
        """The service process first, then the workers."""
        workers = [(f"worker {index}", process) for index, process in enumerate(self._workers)]
        return [_memory(name, process) for name, process in [("service", self._service), *workers]]


@contextmanager
def running_server(flags: Sequence[str]) -> Iterator[BenchServer]:
    """Start a server, wait until it is ready, and end it on exit. Raises SystemExit if it cannot start."""
    port = free_port()
    command = [sys.executable, "-m", "service.cli", "serve", "--log-level", "warning", *flags]
    began = time.perf_counter()
    # The fork server ignores the working directory, and this tree may not be installed.
    path = os.pathsep.join([str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    environment = {**os.environ, "PYTHONPATH": path.rstrip(os.pathsep), PORT_VARIABLE: str(port)}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment)
    with ServerProcess(process, port=port, log_path=NO_LOG) as server:
        try:
            wait_until(server.is_ready, "the server is ready", limit_seconds=START_SECONDS)
        except (AssertionError, TimeoutError) as error:
            raise SystemExit(str(error).rstrip(":\n")) from None
        yield BenchServer(process, port=port, ready_seconds=time.perf_counter() - began)


def machine_cpu_seconds() -> float:
    """CPU time of all processes of the machine."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait)


def cpu_seconds(process: psutil.Process) -> float:
    """CPU time of a process; 0 if it is gone, since the other figures are still useful."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _memory(name: str, process: psutil.Process) -> ProcessMemory:
    try:
        full = process.memory_full_info()
    except psutil.NoSuchProcess:
        return ProcessMemory(f"{name} (gone)", 0, 0, 0)
    return ProcessMemory(name, full.rss, full.pss, full.uss)
