"""The parts of a run, in order: what may leave the device unusable comes last."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class PartPlan(NamedTuple):
    title: str
    module: str
    """It has `measure(setting, part)`."""
    max_seconds: float


PARTS: Mapping[str, PartPlan] = MappingProxyType(
    {
        "parity": PartPlan("Parity and guarantees", "loadtests.bench.gpu.parity", 70),
        "steps": PartPlan("Step times", "loadtests.bench.gpu.steps", 60),
        "pace": PartPlan("Pace and waits", "loadtests.bench.gpu.pace", 30),
        "throughput": PartPlan("Throughput", "loadtests.bench.gpu.throughput", 80),
        "memory": PartPlan("Memory", "loadtests.bench.gpu.memory", 40),
        "served": PartPlan("A served load", "loadtests.bench.gpu.served", 75),
        "attention": PartPlan("Decode attention", "loadtests.bench.gpu.attention", 60),
        "head": PartPlan("The output head", "loadtests.bench.gpu.head", 35),
    }
)
