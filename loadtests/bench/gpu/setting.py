"""The device of a part, and how large the part is."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from loadtests.bench.gpu.report import OutOfTimeError
from model.cuda.device import triton_problem, use_device
from model.cuda.runtime import CudaRuntime, EagerRuntime, Runtime


def prepare_device(name: str) -> str:
    """Prepare this process as a worker's is, and return the device's full name, and why Triton is not used on it."""
    torch.set_num_threads(1)
    if name == "cpu":
        return "CPU"
    device = torch.device(name)
    use_device(device)
    full_name, problem = torch.cuda.get_device_name(device), triton_problem()
    return f"{full_name} with torch's kernels ({problem})" if problem else full_name


@dataclass(frozen=True, slots=True)
class Setting:
    device: torch.device
    half: torch.dtype
    """The type of two bytes that the device is measured in; float32 in a tiny run on a CPU."""
    deadline: float
    """On the monotonic clock."""
    is_tiny: bool
    """Whether the run only checks that it works: a few sentences, tiny weights."""

    save: Callable[[], None]
    """Called between measurements: what was measured so far outlives the process."""

    @classmethod
    def of(cls, device: str, *, max_seconds: float, save: Callable[[], None] = lambda: None) -> "Setting":
        is_tiny = device == "cpu"
        half = torch.float32 if is_tiny else torch.float16
        return cls(torch.device(device), half, time.monotonic() + max_seconds, is_tiny, save)

    @property
    def runtime(self) -> Runtime:
        """On a CPU, steps that are called stand in for graphs."""
        return EagerRuntime() if self.device.type == "cpu" else CudaRuntime(self.device)

    @property
    def max_new_tokens(self) -> int:
        return 12 if self.is_tiny else 48

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def is_usable(self) -> bool:
        """Whether the device still works: CUDA repeats some errors with every later call."""
        try:
            self.synchronize()
            self.reset_memory()
        except Exception:
            return False
        return True

    def reset_memory(self) -> None:
        """Give back what nothing uses, and start a new peak."""
        if self.device.type == "cuda":
            gc.collect()  # graphs and caches in cycles
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def allocated_bytes(self) -> int:
        """The memory of tensors, 0 on a CPU."""
        return torch.cuda.memory_allocated(self.device) if self.device.type == "cuda" else 0

    def peak_bytes(self) -> int:
        """The largest `allocated_bytes` since `reset_memory`."""
        return torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else 0

    def free_bytes(self) -> int:
        """What no process has taken of the device, 0 on a CPU."""
        return torch.cuda.mem_get_info(self.device)[0] if self.device.type == "cuda" else 0

    def seconds_left(self) -> float:
        return self.deadline - time.monotonic()

    def check_time(self, needed_seconds: float = 0.0) -> None:
        """Call it before each measurement, which may end the process. Raises OutOfTimeError."""
        self.save()
        if self.seconds_left() < needed_seconds:
            raise OutOfTimeError(f"{self.seconds_left():.0f} s are left, {needed_seconds:.0f} s are needed")
