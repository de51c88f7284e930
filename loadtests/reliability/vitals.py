"""The memory and the descriptors of a server's processes, and whether they are back where they were."""

from dataclasses import dataclass

import psutil

from loadtests.bench.server_process import ServerProcess

MAX_GROWTH = 1.1
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Vitals:
    """Bytes are resident, as `ps` shows them; those of `worker_bytes` are of the largest worker or fork server.

    A sum over the workers would say less: those of a fork server that was killed share nothing with the newer ones.
    """

    service_bytes: int
    worker_bytes: int
    num_descriptors: int
    """Those of the service process."""

    @classmethod
    def read(cls, server: ServerProcess) -> "Vitals":
        service, *others = server.processes()
        return cls(resident_bytes(service), max(map(resident_bytes, others)), service.num_fds())

    def growth_faults(self, before: "Vitals", *, max_growth: float = MAX_GROWTH) -> list[str]:
        pairs = {
            "the service process": (before.service_bytes, self.service_bytes),
            "the largest worker": (before.worker_bytes, self.worker_bytes),
        }
        return [
            f"{name} grew from {then / MIB:.0f} to {now / MIB:.0f} MiB"
            for name, (then, now) in pairs.items()
            if now > then * max_growth
        ]

    def __str__(self) -> str:
        return (
            f"service process {self.service_bytes / MIB:.0f} MiB, {self.num_descriptors} descriptors; "
            f"largest worker {self.worker_bytes / MIB:.0f} MiB"
        )


def resident_bytes(process: psutil.Process) -> int:
    """0 if the process has ended."""
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
