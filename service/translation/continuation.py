"""Continue a translation that reaches the limit of a decode in another one, with its end as a prefix.

Both decodes have the same source. The decoder reads on in the source where the prefix leaves off, so a prefix of half
the limit is enough. A translation that has become many times longer than its source, or repeats itself where its
source does not, is no longer a translation, and does not go on.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from model.search.results import Hypothesis
from model.search.spec import DecodeSpec

MIN_LIMIT = 16
"""The smallest limit of a decode, in tokens; a smaller one leaves too few words to go on from."""
MAX_EXPANSION = 4
MAX_MORE_TOKENS = 64
LAST_TOKENS = 128
MAX_LOST_VARIETY = 0.3
"""Loops that reached the limit on `newstest2013` have a variety of 0.18 to 0.61; 128 tokens of its text have at least
0.83."""


def runs_on(target_ids: Sequence[int], source_ids: Sequence[int]) -> bool:
    return len(target_ids) > MAX_EXPANSION * len(source_ids) + MAX_MORE_TOKENS


def loops(target_ids: Sequence[int], source_ids: Sequence[int]) -> bool:
    """Whether the end of a target repeats itself far more than its source."""
    return _variety(source_ids) - _variety(target_ids[-LAST_TOKENS:]) > MAX_LOST_VARIETY


def _variety(ids: Sequence[int]) -> float:
    """The share of distinct pairs of neighbours among all, 0 to 1."""
    pairs = list(pairwise(ids))
    return len(set(pairs)) / len(pairs) if pairs else 1.0


def next_spec(first: DecodeSpec, target_ids: tuple[int, ...], *, num_prefix_tokens: int) -> DecodeSpec:
    """The decode that continues `target_ids`, which are all tokens of `first` and its continuations so far.

    The last `num_prefix_tokens` of the decoder prompt of `first` are also a part of the target.
    """
    num_prompt_tokens = len(first.decoder_prompt) - num_prefix_tokens
    limit = num_prefix_tokens + first.max_new_tokens
    whole = (*first.decoder_prompt[num_prompt_tokens:], *target_ids)
    context = whole[-(limit // 2) :]
    prompt = (*first.decoder_prompt[:num_prompt_tokens], *context)
    return replace(
        first,
        decoder_prompt=prompt,
        max_new_tokens=limit - len(context),
        num_uncounted_tokens=first.num_uncounted_tokens if first.beam_size > 1 else len(prompt),
    )


def joined(head: Hypothesis | None, rest: Hypothesis) -> Hypothesis:
    """Join two parts into one hypothesis; its score is the mean of theirs, weighted by tokens."""
    if head is None:
        return rest
    num_head, num_rest = len(head.token_ids), len(rest.token_ids)
    return rest._replace(
        token_ids=head.token_ids + rest.token_ids,
        logprobs=head.logprobs + rest.logprobs,
        score=(head.score * num_head + rest.score * num_rest) / (num_head + num_rest),
    )
