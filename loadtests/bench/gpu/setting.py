"""The device of a run, and how large the run is."""

import time
from dataclasses import dataclass

import torch

from model.cuda.runtime import EagerRuntime, Runtime


class OutOfTimeError(Exception):
    """The run's time is up; what was measured is reported."""


@dataclass(frozen=True, slots=True)
class Setting:
    device: torch.device
    half: torch.dtype
    """The type of two bytes that the device is measured in; float32 in a tiny run on a CPU."""
    deadline: float
    """On the monotonic clock."""
    is_tiny: bool
    """Whether the run only checks that it works: a few sentences, tiny weights."""

    @classmethod
    def of(cls, device: str, *, max_seconds: float) -> "Setting":
        is_tiny = device == "cpu"
        half = torch.float32 if is_tiny else torch.float16
        return cls(torch.device(device), half, time.monotonic() + max_seconds, is_tiny)

    @property
    def runtime(self) -> Runtime | None:
        """On a CPU, steps that are called stand in for graphs."""
        return EagerRuntime() if self.device.type == "cpu" else None

    @property
    def max_new_tokens(self) -> int:
        return 12 if self.is_tiny else 48

    @property
    def device_name(self) -> str:
        return "CPU" if self.device.type == "cpu" else torch.cuda.get_device_name(self.device)

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds_left(self) -> float:
        return self.deadline - time.monotonic()

    def check_time(self, needed_seconds: float = 0.0) -> None:
        """Raises OutOfTimeError."""
        if self.seconds_left() < needed_seconds:
            raise OutOfTimeError(f"{self.seconds_left():.0f} s are left, {needed_seconds:.0f} s are needed")
