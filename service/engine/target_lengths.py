"""The expected lengths of targets, learned from the targets that end. Pure policy.

A target is expected to have as many tokens as its source, times the ratio of its language pair: a running average over
about the last MEMORY_TOKENS source tokens, which starts at 1.
"""

from collections import defaultdict
from dataclasses import dataclass
from math import ceil

from model.search.results import FinishReason
from model.search.spec import DecodeSpec

PRIOR_TOKENS = 200.0
"""The source tokens that the ratio of 1 counts as at the start."""
MEMORY_TOKENS = 20_000.0


@dataclass(slots=True)
class _Seen:
    """Tokens of sources, and of their targets."""

    num_source: float = PRIOR_TOKENS
    num_target: float = PRIOR_TOKENS


class TargetLengths:
    def __init__(self) -> None:
        self._seen: defaultdict[tuple[str, str], _Seen] = defaultdict(_Seen)
        """By checkpoint and language pair."""

    def expected(self, spec: DecodeSpec) -> int:
        """The tokens that this decode is expected to generate in each of its rows, at least 1."""
        seen = self._seen[spec.checkpoint, spec.language_pair]
        return min(spec.max_new_tokens, ceil(len(spec.source_ids) * seen.num_target / seen.num_source))

    def learn(self, spec: DecodeSpec, *, num_tokens: int, finish_reason: FinishReason) -> None:
        """Learn from a target. One that was cut at its limit only shows that it is at least so long."""
        if finish_reason == "length" and num_tokens <= self.expected(spec):
            return
        seen = self._seen[spec.checkpoint, spec.language_pair]
        num_source = len(spec.source_ids)
        kept = max(0.0, 1 - num_source / MEMORY_TOKENS)
        seen.num_source = kept * seen.num_source + num_source
        seen.num_target = kept * seen.num_target + num_tokens
