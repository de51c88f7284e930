"""Measurements and their conditions: plain data."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from loadtests.bench.sides import Shape, Side
from loadtests.bench.work import Targets
from model.evaluation.markdown import search_name


@dataclass(frozen=True, slots=True)
class Timing:
    """The time of one or several works, run one after another."""

    seconds: float
    num_tokens: int
    """Tokens of all targets, including end tokens."""
    num_steps: int
    """Tokens of the longest target, summed over the works."""
    num_batches: int

    @property
    def tokens_per_second(self) -> float:
        return self.num_tokens / self.seconds

    @property
    def batch_milliseconds(self) -> float:
        return self.seconds / self.num_batches * 1000

    @property
    def step_milliseconds(self) -> float:
        return self.seconds / self.num_steps * 1000

    @classmethod
    def of(cls, seconds: float, batches: Sequence[Targets]) -> "Timing":
        lengths = [[len(target) for target in targets] for targets in batches]
        return cls(seconds, sum(map(sum, lengths)), sum(map(max, lengths)), len(batches))


@dataclass(frozen=True, slots=True)
class Spread:
    median: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Cell:
    subject: str
    beam_size: int
    batch_size: int | None
    """None: saturated, which is many sentences on all cores."""

    @property
    def search(self) -> str:
        return search_name(self.beam_size)

    @property
    def batch(self) -> str:
        return "saturated" if self.batch_size is None else str(self.batch_size)


@dataclass(frozen=True, slots=True)
class Setting:
    shape: Shape
    batch_size: int
    """The most sentences to decode side by side in a worker."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One side in one cell, with a timing for each round."""

    cell: Cell
    side: Side
    setting: Setting
    timings: list[Timing]

    def spread(self, of: Callable[[Timing], float]) -> Spread:
        values = [of(timing) for timing in self.timings]
        return Spread(statistics.median(values), min(values), max(values))

    @property
    def tokens_per_second(self) -> float:
        return self.spread(lambda timing: timing.tokens_per_second).median


@dataclass(frozen=True, slots=True)
class Agreement:
    """The number of targets that are equal, token for token, to those of `reference`."""

    subject: str
    search: str
    side: Side
    reference: Side
    num_equal: int
    num_targets: int
