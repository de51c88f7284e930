"""A translation that reaches the limit of a decode goes on in another: same source, and the end of it as a prefix.

The decoder reads the source where its last words leave off, so that half a limit of them is enough. A translation that
has become many times longer than its source is no translation any more, and does not go on.
"""

from dataclasses import replace

from model.search.results import Hypothesis
from model.search.spec import DecodeSpec

MIN_LIMIT = 16
"""Tokens of a decode. Less leaves too few words to go on from."""
MAX_EXPANSION = 4
MAX_MORE_TOKENS = 64


def runs_on(num_target_tokens: int, *, num_source_tokens: int) -> bool:
    return num_target_tokens > MAX_EXPANSION * num_source_tokens + MAX_MORE_TOKENS


def next_spec(first: DecodeSpec, target_ids: tuple[int, ...], *, num_prefix_tokens: int) -> DecodeSpec:
    """What follows on `target_ids`, all that `first` and its continuations came to.

    The last `num_prefix_tokens` of the decoder prompt of `first` are a part of the target, too.
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
    """One hypothesis of both; the score is the mean, weighted by tokens."""
    if head is None:
        return rest
    num_head, num_rest = len(head.token_ids), len(rest.token_ids)
    return rest._replace(
        token_ids=head.token_ids + rest.token_ids,
        logprobs=head.logprobs + rest.logprobs,
        score=(head.score * num_head + rest.score * num_rest) / (num_head + num_rest),
    )
