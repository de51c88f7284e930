"""The input and output of a side: plain data, which is sent to other processes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

Targets = list[list[int]]
"""A target for each source: the tokens after the decoder prompt, including the end token."""


@dataclass(frozen=True, slots=True)
class Work:
    """Sources with their decoder prompts, all in token ids."""

    sources: tuple[tuple[int, ...], ...]
    prompts: tuple[tuple[int, ...], ...]
    beam_size: int
    batch_size: int
    """The most sentences to decode side by side."""
    max_new_tokens: int
    fixed_length: bool = False
    """Every target has exactly `max_new_tokens` tokens, without an end token."""
    repetition_guard: bool = False
    """Ours only: end targets that loop, as a server does."""

    @property
    def target_length(self) -> int:
        """The most tokens of a target, prompt included; all prompts have the same length."""
        return len(self.prompts[0]) + self.max_new_tokens

    def part(self, start: int, size: int) -> "Work":
        end = start + size
        return replace(self, sources=self.sources[start:end], prompts=self.prompts[start:end])

    def only(self, indices: Sequence[int]) -> "Work":
        sources = tuple(self.sources[index] for index in indices)
        return replace(self, sources=sources, prompts=tuple(self.prompts[index] for index in indices))

    def share(self, index: int, count: int) -> "Work":
        """One of `count` parts of about equal size."""
        return replace(self, sources=self.sources[index::count], prompts=self.prompts[index::count])


def joined(shares: Sequence[Targets]) -> Targets:
    """The targets of all shares of a work, in its order."""
    targets: Targets = [[] for _ in range(sum(map(len, shares)))]
    for index, share in enumerate(shares):
        targets[index :: len(shares)] = share
    return targets


@dataclass(frozen=True, slots=True)
class TimedTargets:
    """`began` and `ended` are read from the system's monotonic clock, which all processes share."""

    began: float
    ended: float
    targets: list[Targets]
