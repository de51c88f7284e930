"""The expected lengths of targets, learned from the targets that end. Pure policy.

A target is expected to have as many tokens as its source, times the ratio of its language pair: a running average over
about the last MEMORY_TOKENS source tokens, which starts at 1.
"""

from collections import defaultdict
from math import ceil

from model.search.results import FinishReason
from model.search.spec import DecodeSpec
from service.engine.running_ratio import RunningRatio

PRIOR_TOKENS = 200.0
"""The source tokens that the ratio of 1 counts as at the start."""
MEMORY_TOKENS = 20_000.0


class TargetLengths:
    def __init__(self) -> None:
        self._ratios: defaultdict[tuple[str, str], RunningRatio] = defaultdict(
            lambda: RunningRatio(MEMORY_TOKENS, PRIOR_TOKENS, PRIOR_TOKENS)
        )
        """Target tokens over source tokens, by checkpoint and language pair."""

    def expected(self, spec: DecodeSpec) -> int:
        """The tokens that this decode is expected to generate in each of its rows, at least 1."""
        return min(spec.max_new_tokens, ceil(self._ratio(spec).of(len(spec.source_ids))))

    def learn(self, spec: DecodeSpec, *, num_tokens: int, finish_reason: FinishReason) -> None:
        """Learn from a target. One that was cut at its limit only shows that it is at least so long."""
        if finish_reason == "length" and num_tokens <= self.expected(spec):
            return
        self._ratio(spec).learn(num_tokens, len(spec.source_ids))

    def _ratio(self, spec: DecodeSpec) -> RunningRatio:
        return self._ratios[spec.checkpoint, spec.language_pair]
