"""A description of this machine."""

import os
from dataclasses import dataclass
from pathlib import Path

from model.kernels.libraries import find_kernels

CPUINFO = Path("/proc/cpuinfo")
KINDS = (
    ("AMX", "amx_tile"),
    ("AVX512-BF16", "avx512_bf16"),
    ("AVX512-VNNI", "avx512_vnni"),
    ("AVX-VNNI", "avx_vnni"),
)
"""Instruction sets for matrices in reduced precision and their flags in cpuinfo, strongest first."""


@dataclass(frozen=True, slots=True)
class Machine:
    model_name: str
    num_cores: int
    """The cores that this process may use."""
    kinds: tuple[str, ...]
    isa: str
    """The instruction set of our own kernels: the fastest one, or `KAKEHASHI_ISA`."""

    @classmethod
    def read(cls) -> "Machine":
        cpuinfo = CPUINFO.read_text(encoding="utf-8")
        return cls.from_cpuinfo(cpuinfo, num_cores=len(os.sched_getaffinity(0)), isa=find_kernels().isa)

    @classmethod
    def from_cpuinfo(cls, cpuinfo: str, *, num_cores: int, isa: str) -> "Machine":
        fields = {
            key.strip(): value.strip() for key, _, value in (line.partition(":") for line in cpuinfo.splitlines())
        }
        flags = fields.get("flags", "").split()
        kinds = tuple(kind for kind, flag in KINDS if flag in flags)
        return cls(fields.get("model name", "unknown CPU"), num_cores, kinds, isa)

    def __str__(self) -> str:
        cores = "1 core" if self.num_cores == 1 else f"{self.num_cores} cores"
        kinds = " and ".join(self.kinds) or "none of AMX, AVX512-BF16 and VNNI"
        return f"{self.model_name}, {cores}, {kinds}; our kernels: {self.isa}"
