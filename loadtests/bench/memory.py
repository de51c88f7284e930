"""The memory of a side's process after loading a checkpoint and translating with it."""

from dataclasses import dataclass, replace
from pathlib import Path

import psutil
from safetensors import safe_open

from loadtests.bench.checkpoints import Subject
from loadtests.bench.fleet import Fleet
from loadtests.bench.sides import Shape, Side

ONE = Shape(1, 1)
NUM_SENTENCES = 32


@dataclass(frozen=True, slots=True)
class MemoryUse:
    subject: str
    side: Side
    num_parameters: int
    resident_bytes: int
    unique_bytes: int
    """The resident bytes that no other process shares."""


def num_parameters(directory: Path) -> int:
    """The number of parameters in the file, with tied tensors counted once."""
    count = 0
    with safe_open(directory / "model.safetensors", framework="numpy") as file:
        for name in file.keys():  # noqa: SIM118  # it is no mapping
            elements = 1
            for size in file.get_slice(name).get_shape():
                elements *= size
            count += elements
    return count


def measure_memory(subject: Subject, side: Side, scratch: Path) -> MemoryUse:
    """Measure in a separate process with one thread."""
    with Fleet(subject.directory, scratch=scratch) as fleet:
        fleet.start([(side, ONE)])
        fleet.run(side, ONE, [replace(subject.sentences.part(0, NUM_SENTENCES), batch_size=NUM_SENTENCES)])
        (pid,) = fleet.pids(side)
        used = psutil.Process(pid).memory_full_info()
    return MemoryUse(subject.name, side, num_parameters(subject.directory), used.rss, used.uss)
